package broker

import (
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/audit"
	"github.com/merakibroker/merakibroker/service/fault"
)

// An auditedCall is one whose end the audit is told: once, however it ends.
type auditedCall struct {
	of    *Broker
	call  *Call
	began time.Time
	ended bool
}

// audited begins the call.
func (b *Broker) audited(c *Call) auditedCall {
	return auditedCall{of: b, call: c, began: time.Now(), ended: c.Untold || b.config.Audit == nil}
}

// entry is what the audit is told of the call however it ends.
func (t *auditedCall) entry() audit.Entry {
	t.ended = true
	c := t.call
	e := audit.Entry{
		Began: t.began, Caller: c.Caller, Face: c.Face, Operation: c.Operation.GetId(), Method: c.method(),
		Path: c.Path, Key: c.Name, Redact: c.Key.Redact,
	}
	if c.Operation.GetScope() == apiv1.Scope_SCOPE_ORGANIZATION {
		e.Organization = c.ID
	} else {
		e.Organization, _ = t.of.known(time.Now(), c)
	}
	return e
}

// done tells an answer.
func (t *auditedCall) done(a *Answer) {
	if t.ended {
		return
	}
	e := t.entry()
	e.Status, e.RequestID, e.Attempts = a.Status, a.RequestID, len(a.Attempts)
	if a.Organization != "" {
		e.Organization = a.Organization
	}
	if t.call.read() {
		e.Cache = a.Cache
		t.of.config.Audit.Read(e)
		return
	}
	t.of.config.Audit.Wrote(e)
}

// failed tells a fault: of what was sent always, of what was refused a sample.
func (t *auditedCall) failed(f *fault.Error) {
	if t.ended {
		return
	}
	e := t.entry()
	e.Fault = f
	switch {
	case len(f.Attempts) == 0 && f.Kind != fault.OutcomeUnknown:
		t.of.config.Audit.Refused(e)
	case t.call.read():
		t.of.config.Audit.Read(e)
	default:
		t.of.config.Audit.Wrote(e)
	}
}

// crashed tells a call that met a bug: nobody knows what became of it.
func (t *auditedCall) crashed() {
	if !t.ended {
		t.failed(&fault.Error{Kind: fault.OutcomeUnknown, Reason: fault.Internal.Reason()})
	}
}
