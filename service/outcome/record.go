package outcome

import (
	"encoding/hex"
	"encoding/json"

	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/fault"
)

// The states of a record.
const (
	statePending = "pending"
	stateDone    = "done"
	stateFailed  = "failed"
	stateUnknown = "unknown"
)

// A record is a write and its outcome as the store keeps it.
type record struct {
	State   string `json:"state"`
	Content string `json:"content"` // the digest of the write
	Holder  string `json:"holder"`  // who makes it, or has made it
	// The answer, or the failure. Body and Messages are the Dashboard's words, which
	// can hold secrets.
	Status       int      `json:"status,omitempty"`
	Body         []byte   `json:"body,omitempty"`
	Organization string   `json:"organization,omitempty"`
	RequestID    string   `json:"request_id,omitempty"`
	Kind         uint8    `json:"kind,omitempty"`
	Reason       string   `json:"reason,omitempty"`
	Detail       string   `json:"detail,omitempty"`
	Messages     []string `json:"messages,omitempty"`
}

// recordOf is the record of an outcome.
func (k *Keeper) recordOf(e *entry, holder string, answer *broker.Answer, err error) record {
	r := record{State: stateDone, Content: hex.EncodeToString(e.content[:]), Holder: holder}
	if f := fault.As(err); f != nil {
		r.State, r.Kind, r.Reason, r.Detail, r.Status, r.RequestID = stateFailed, uint8(f.Kind), f.Reason, f.Detail, f.HTTPStatus, f.RequestID
		r.Messages = f.Messages
	} else if answer != nil {
		r.Status, r.Body, r.Organization, r.RequestID = answer.Status, answer.Body, answer.Organization, answer.RequestID
	} else {
		r.State = stateUnknown
	}
	if !k.config.SharedBodies {
		r.Body, r.Messages = nil, nil
	}
	return r
}

// text is the record as it is stored.
func (r record) text() []byte {
	text, err := json.Marshal(r)
	if err != nil { // texts always marshal
		return nil
	}
	return text
}

// outcome is what the record says to the caller of a write.
func (r record) outcome(w *Write) (*broker.Answer, error) {
	switch r.State {
	case stateDone:
		return &broker.Answer{Status: r.Status, Body: r.Body, Organization: r.Organization, RequestID: r.RequestID, Cache: CacheOutcome}, nil
	case stateFailed:
		return nil, &fault.Error{Kind: fault.Kind(r.Kind), Reason: r.Reason, Operation: w.Operation, Detail: r.Detail,
			Messages: r.Messages, HTTPStatus: r.Status, RequestID: r.RequestID}
	}
	return nil, unknown(w)
}
