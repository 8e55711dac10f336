package broker

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/audit"
	"github.com/merakibroker/merakibroker/service/usage"
)

// A fullDisk takes no line.
type fullDisk struct{}

func (fullDisk) Ready() error              { return nil }
func (fullDisk) Close() error              { return nil }
func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("the disk is full") }

// TestWritesWithoutALine are not made where the configuration insists on it; reads are.
func TestWritesWithoutALine(t *testing.T) {
	d := new(fakeDashboard)
	inBubble(t, d, func(t *testing.T, b *Broker) {
		defer func() { _ = b.config.Audit.Close() }()
		b.config.Audit.Wrote(audit.Entry{Caller: "before"})
		if f := do(t, b, time.Minute, write(apiv1.Verb_VERB_PUT, "1"))[0]; f == nil || f.Reason != "AUDIT_UNAVAILABLE" || d.count() != 0 {
			t.Errorf("a write: %v, %d requests", f, d.count())
		}
		if f := do(t, b, time.Minute, read("1", 0))[0]; f != nil {
			t.Errorf("a read: %v", f)
		}
	}, func(c *Config) {
		l, err := audit.New(audit.Config{To: fullDisk{}, Insist: true, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		c.Audit = l
	})
}

// TestWaitsAreCounted: those that there were.
func TestWaitsAreCounted(t *testing.T) {
	inBubble(t, new(fakeDashboard), func(t *testing.T, b *Broker) {
		for i := range 9 { // of a budget of 8 at once
			if f := do(t, b, time.Minute, read("1", i))[0]; f != nil {
				t.Fatal(f)
			}
		}
		a, err := b.config.Usage.Ask(context.Background(), time.Now(), usage.Query{})
		if err != nil || a.Total[usage.Waits] != 1 || a.Total[usage.Attempts] != 9 || a.Total[usage.WaitMicroseconds] == 0 {
			t.Errorf("%v, %v", a.Total, err)
		}
	}, func(c *Config) { c.Usage = usage.New(usage.Config{Callers: 9, Organizations: 9}) })
}
