package dashboard

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// inTime does what takes a time, with more of it where the machine is too slow for that.
func inTime(t *testing.T, do func(most time.Duration) (late bool)) {
	t.Helper()
	for most := 200 * time.Millisecond; do(most); most *= 2 {
		if most > 20*time.Second {
			t.Fatal("it never comes in time")
		}
	}
}

// An attempt ends by its own bound, by the caller's deadline, or with the caller.
func TestContextsEnd(t *testing.T) {
	t.Parallel()
	free := make(chan struct{})
	arrived := make(chan struct{}, 16)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/body":
			_, _ = io.WriteString(w, `{"a":`)
			w.(http.Flusher).Flush()
		case "/error":
			w.WriteHeader(429)
			_, _ = io.WriteString(w, `{"errors":["slow",`)
			w.(http.Flusher).Flush()
		}
		arrived <- struct{}{}
		select {
		case <-free:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(free) })
	brief := func(c *Config, most time.Duration) { c.Timeout = most }
	long := func(c *Config, _ time.Duration) { c.Timeout, c.ErrorBodyTimeout = time.Minute, 50*time.Millisecond }
	leave := func(time.Duration) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(context.Background())
		go func() { <-arrived; cancel() }()
		return ctx, cancel
	}
	later := func(most time.Duration) (context.Context, context.CancelFunc) {
		return context.WithTimeout(context.Background(), most)
	}
	patient := func(time.Duration) (context.Context, context.CancelFunc) {
		return context.WithCancel(context.Background())
	}
	for _, c := range []struct {
		name   string
		path   string
		ctx    func(most time.Duration) (context.Context, context.CancelFunc)
		config func(c *Config, most time.Duration)
		want   fault.Outcome
		status int
		maybe  bool
	}{
		{"its own bound, no answer", "/silent", patient, brief, fault.Timeout, 0, true},
		{"its own bound, in the body", "/body", patient, brief, fault.Timeout, 200, true},
		{"an error's body is slow", "/error", patient, long, fault.Limited, 429, false},
		{"the deadline, no answer", "/silent", later, long, fault.Timeout, 0, true},
		{"the deadline, in the body", "/body", later, long, fault.Timeout, 200, true},
		{"the caller leaves, no answer", "/silent", leave, long, fault.Left, 0, true},
		{"the caller leaves, in the body", "/body", leave, long, fault.Left, -1, true}, // before or after our end saw the header
	} {
		inTime(t, func(most time.Duration) (late bool) {
			for range cap(arrived) { // what was left behind before
				select {
				case <-arrived:
				default:
				}
			}
			ctx, cancel := c.ctx(most)
			defer cancel()
			a := client(t, s.URL, func(to *Config) { c.config(to, most) }).Attempt(ctx, post(c.path, "{}"))
			if c.want == fault.Timeout && (a.Outcome == fault.NotSent || a.Outcome == fault.Timeout && a.Status < c.status) {
				return true
			}
			if a.Outcome != c.want || c.status >= 0 && a.Status != c.status || a.MaybeExecuted != c.maybe {
				t.Errorf("%s: %v, status %d, maybe executed %t (%v); want %v, %d, %t", c.name, a.Outcome, a.Status, a.MaybeExecuted, a.Err, c.want, c.status, c.maybe)
			}
			return false
		})
	}

	gone, cancel := context.WithCancel(context.Background())
	cancel()
	expect(t, client(t, s.URL).Attempt(gone, post("/silent", "{}")), fault.Left, 0, false)
	late, cancel := context.WithDeadline(context.Background(), epoch.AddDate(-10, 0, 0))
	defer cancel()
	expect(t, client(t, s.URL).Attempt(late, post("/silent", "{}")), fault.NotSent, 0, false)
}
