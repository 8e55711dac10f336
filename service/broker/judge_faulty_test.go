package broker

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
)

// A faulty is a Dashboard that does one thing in five wrong, before or after it
// did what it was asked, and knows what it really did.
type faulty struct {
	mu       sync.Mutex
	random   *rand.Rand
	share    float64
	requests int64
	executed map[string]int
}

// wrongs are what a faulty can do instead of answering well.
var wrongs = []func(f *faulty, w http.ResponseWriter, r *http.Request){
	func(_ *faulty, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) },
	func(_ *faulty, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
	func(f *faulty, w http.ResponseWriter, r *http.Request) { f.execute(r); w.WriteHeader(500) },
	func(_ *faulty, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) },
	func(f *faulty, w http.ResponseWriter, r *http.Request) { f.execute(r); w.WriteHeader(502) },
	func(_ *faulty, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) },
	func(f *faulty, w http.ResponseWriter, r *http.Request) { f.execute(r); w.WriteHeader(504) },
	func(f *faulty, w http.ResponseWriter, r *http.Request) { f.execute(r); w.WriteHeader(408) },
	func(_ *faulty, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", r.RequestURI)
		w.WriteHeader(308)
	},
	func(_ *faulty, w http.ResponseWriter, _ *http.Request) { breakOff(w, "") },
	func(f *faulty, w http.ResponseWriter, r *http.Request) { f.execute(r); breakOff(w, "") },
	func(f *faulty, w http.ResponseWriter, r *http.Request) {
		f.execute(r)
		breakOff(w, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"a\":")
	},
	func(f *faulty, w http.ResponseWriter, r *http.Request) {
		f.execute(r)
		_, _ = io.WriteString(w, "<html><title>Be right back</title></html>")
	},
	func(f *faulty, w http.ResponseWriter, r *http.Request) {
		// Right, and the connection is at its end.
		f.execute(r)
		breakOff(w, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
	},
}

// breakOff writes text and closes the connection, without an end.
func breakOff(w http.ResponseWriter, text string) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(c, text)
	if text == "" {
		_ = c.(*net.TCPConn).SetLinger(0)
	}
	_ = c.Close()
}

func (f *faulty) execute(r *http.Request) {
	f.mu.Lock()
	f.executed[r.URL.Path]++
	f.mu.Unlock()
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	f.mu.Lock()
	f.requests++
	p, which := f.random.Float64(), f.random.IntN(len(wrongs))
	f.mu.Unlock()
	if p < f.share {
		wrongs[which](f, w, r)
		return
	}
	f.execute(r)
	_, _ = io.WriteString(w, "{}")
}

// serveFaulty runs calls against a faulty Dashboard with a real client, the judge and
// the retry budget, without waiting. It gives the fault of each path, and the
// number of attempts.
func serveFaulty(t *testing.T, f *faulty, c Call, calls int) (faults map[string]*fault.Error, attempts int64) {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	client, err := dashboard.New(dashboard.Config{BaseURL: s.URL + "/api/v1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	var budget retryBudget
	r := rand.New(rand.NewPCG(7, 7))
	faults = make(map[string]*fault.Error, calls)
	for i := range calls {
		call := c
		call.Path = fmt.Sprintf("/things/%d", i)
		if !call.read() {
			call.Body = []byte("{}")
		}
		request := &dashboard.Request{Operation: "x", Method: call.method(), Path: call.Path, Body: call.Body}
		var h history
		for {
			a := client.Attempt(context.Background(), request)
			attempts++
			h.add("x", a)
			now := judged.Add(time.Duration(attempts) * 100 * time.Millisecond)
			if a.Outcome == fault.OK {
				budget.succeed()
			}
			v := judge(judgement{call: &call, answer: a, history: h, hops: 5, now: now, permit: budget.allows(now), random: r.Float64()})
			if v.charged && !budget.spend(now) {
				t.Fatal("charged to an empty budget")
			}
			if v.action == again {
				continue
			}
			if v.action == giveUp {
				faults["/api/v1"+call.Path] = faultOf(failure{call: &call, answer: a, history: h, verdict: v, now: now})
			}
			break
		}
	}
	return faults, attempts
}

func newFaulty(share float64) *faulty {
	return &faulty{random: rand.New(rand.NewPCG(1, 2)), share: share, executed: make(map[string]int)}
}

// No write is executed twice, and what the caller is told is what happened.
func TestNoWriteTwice(t *testing.T) {
	t.Parallel()
	f := newFaulty(0.2)
	const calls = 1500
	faults, attempts := serveFaulty(t, f, judgedCalls[3].call, calls)
	told := make(map[string]int)
	for i := range calls {
		path := fmt.Sprintf("/api/v1/things/%d", i)
		n, e := f.executed[path], faults[path]
		switch {
		case e == nil && n != 1:
			t.Errorf("%s: OK, executed %d times", path, n)
		case e != nil && e.Kind == fault.OutcomeUnknown && n > 1:
			t.Errorf("%s: unknown, executed %d times", path, n)
		case e != nil && e.Kind != fault.OutcomeUnknown && n != 0:
			t.Errorf("%s: %v, executed %d times", path, e, n)
		}
		if e != nil {
			told[e.Kind.String()]++
		}
	}
	if len(told) == 0 || told["outcome unknown"] == 0 {
		t.Errorf("no fault met a write: %v", told)
	}
	if f.requests != attempts {
		t.Errorf("the Dashboard read %d requests of %d attempts", f.requests, attempts)
	}
}

// A write that may be repeated is either done or unknown.
func TestRepeatableWrites(t *testing.T) {
	t.Parallel()
	for _, c := range []int{1, 4} {
		f := newFaulty(0.2)
		const calls = 500
		faults, attempts := serveFaulty(t, f, judgedCalls[c].call, calls)
		lost := 0
		for i := range calls {
			path := fmt.Sprintf("/api/v1/things/%d", i)
			if n, e := f.executed[path], faults[path]; e == nil && n == 0 || e != nil && e.Kind != fault.OutcomeUnknown && n > 0 {
				t.Errorf("%s: %v, executed %d times", path, e, n)
			} else if e != nil && e.Reason != reasonUnreadable {
				lost++
			} else if e != nil && n == 0 {
				t.Errorf("%s: said to be accepted, and not executed", path)
			}
		}
		if lost > calls/100 {
			t.Errorf("%d of %d writes are not done", lost, calls)
		}
		if f.requests != attempts {
			t.Errorf("the Dashboard read %d requests of %d attempts", f.requests, attempts)
		}
	}
}

// No read is lost, and an outage is not multiplied.
func TestNoReadLost(t *testing.T) {
	t.Parallel()
	f := newFaulty(0.2)
	const calls = 2000
	faults, attempts := serveFaulty(t, f, judgedCalls[0].call, calls)
	if len(faults) > calls/1000 {
		t.Errorf("%d of %d reads lost", len(faults), calls)
	}
	if f.requests != attempts {
		t.Errorf("the Dashboard read %d requests of %d attempts", f.requests, attempts)
	}

	dead := wrongs[3:4]
	out := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { dead[0](nil, w, r) })
	s := httptest.NewServer(out)
	t.Cleanup(s.Close)
	client, err := dashboard.New(dashboard.Config{BaseURL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	var budget retryBudget
	made := 0
	for i := range 1000 {
		var h history
		for {
			a := client.Attempt(context.Background(), &dashboard.Request{Method: "GET", Path: "/x"})
			made++
			h.add("x", a)
			now := judged.Add(time.Duration(i) * 100 * time.Millisecond)
			v := judge(judgement{call: &judgedCalls[0].call, answer: a, history: h, now: now, permit: budget.allows(now)})
			if v.action != again {
				break
			}
			budget.spend(now)
		}
	}
	if made > 1100 {
		t.Errorf("%d attempts for 1000 calls in an outage", made)
	}
}
