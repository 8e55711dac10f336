package broker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/record"
)

// change is a write of an organization's.
func change(verb apiv1.Verb) *Call {
	return &Call{
		Operation: operation("changeSomething", verb, apiv1.Scope_SCOPE_ORGANIZATION),
		Caller:    "a", Path: "/organizations/1/things", ID: "1", Key: testKey, Body: []byte(`{}`),
	}
}

// TestASentWriteIsFinished: whoever leaves, or whose time is up, leaves no doubt
// about what it has sent.
func TestASentWriteIsFinished(t *testing.T) {
	for _, verb := range []apiv1.Verb{apiv1.Verb_VERB_POST, apiv1.Verb_VERB_PUT, apiv1.Verb_VERB_DELETE} {
		for name, leave := range map[string]func(context.Context) (context.Context, context.CancelFunc){
			"left": func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				time.AfterFunc(6*time.Second, cancel)
				return ctx, cancel
			},
			"out of time": func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, 6*time.Second)
			},
		} {
			d := &fakeDashboard{delay: 5 * time.Second}
			inBubble(t, d, func(t *testing.T, b *Broker) {
				if _, err := b.Do(t.Context(), change(verb)); err != nil { // so that the time it takes is known
					t.Fatal(err)
				}
				d.mu.Lock()
				d.delay = 20 * time.Second
				d.mu.Unlock()
				ctx, cancel := leave(t.Context())
				defer cancel()
				start := time.Now()
				_, err := b.Do(ctx, change(verb))
				if err != nil || time.Since(start) != 20*time.Second {
					t.Errorf("%v, %s: %v after %v", verb, name, err, time.Since(start))
				}
				if list := b.Record().List(record.AttemptFilter{}); len(list) != 2 || list[0].Outcome != fault.OK {
					t.Errorf("%v, %s: record %+v", verb, name, list)
				}
			})
		}
	}
}

// TestAWriteThatWasNotSentEndsWithItsCaller: it costs nothing.
func TestAWriteThatWasNotSentEndsWithItsCaller(t *testing.T) {
	d := &fakeDashboard{}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		ctx, cancel := context.WithCancel(t.Context())
		for range 20 { // more than the burst
			go func() { _, _ = b.Do(ctx, change(apiv1.Verb_VERB_POST)) }()
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		if n := d.count(); n > 8 {
			t.Errorf("%d requests left", n)
		}
	})
}

// TestCloseEndsASentWrite: a replica stops in the end.
func TestCloseEndsASentWrite(t *testing.T) {
	d := &fakeDashboard{delay: time.Hour}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		done := make(chan error, 1)
		go func() {
			_, err := b.Do(t.Context(), change(apiv1.Verb_VERB_POST))
			done <- err
		}()
		synctest.Wait()
		b.Close()
		if err := <-done; err == nil {
			t.Error("done")
		}
	})
}
