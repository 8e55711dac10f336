package batch

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/fault"
)

func loaded(t testing.TB) *contract.Contract {
	t.Helper()
	c, err := contract.Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEnded(t *testing.T) {
	t.Parallel()
	c := loaded(t)
	for _, test := range []struct {
		operation, state string
		want             bool
	}{
		{"createDeviceLiveToolsPing", `{"status":"running"}`, false},
		{"createDeviceLiveToolsPing", `{"status":"complete","error":"x"}`, true},
		{"createDeviceLiveToolsPing", `{"status":"completed"}`, true},
		{"createDeviceLiveToolsPing", `{"status":"failed"}`, true},
		{"createDeviceLiveToolsPing", `{"status":["complete"]}`, false},
		{"createDeviceLiveToolsPing", `{}`, false},
		{"createDeviceLiveToolsPing", `nonsense`, false},
		{"createOrganizationActionBatch", `{"confirmed":true,"status":{"completed":false,"failed":false}}`, false},
		{"createOrganizationActionBatch", `{"confirmed":true,"status":{"completed":false,"failed":true}}`, true},
		{"createOrganizationActionBatch", `{"confirmed":true,"status":{"completed":true,"failed":false}}`, true},
		{"createOrganizationActionBatch", `{"confirmed":false,"status":{"completed":false,"failed":false}}`, true},
		{"createOrganizationInventoryDevicesSwapsBulk", `{"swaps":[{"status":"complete"},{"status":"pending"}]}`, false},
		{"createOrganizationInventoryDevicesSwapsBulk", `{"swaps":[{"status":"complete"},{"status":"failed"}]}`, true},
		{"createOrganizationInventoryDevicesSwapsBulk", `{"swaps":[{"status":"complete"},{}]}`, false},
		{"createOrganizationInventoryDevicesSwapsBulk", `{"swaps":[]}`, false},
		{"createNetworkWebhooksWebhookTest", `{"status":"abandoned"}`, true},
	} {
		if got := ended(c.Operation(test.operation).Operation.GetJob().GetEnds(), []byte(test.state)); got != test.want {
			t.Errorf("%s %s: %v", test.operation, test.state, got)
		}
	}
}

// TestEveryJobHasAPath: the path of each job's reads is that of the operation that
// reads, with the parameters of the start.
func TestEveryJobHasAPath(t *testing.T) {
	t.Parallel()
	c := loaded(t)
	n := 0
	for _, m := range c.Methods() {
		if !m.Runs {
			continue
		}
		n++
		j, err := NewJob(c, m.Operation)
		if err != nil {
			t.Error(err)
			continue
		}
		first := map[apiv1.Scope]string{apiv1.Scope_SCOPE_ORGANIZATION: "1", apiv1.Scope_SCOPE_NETWORK: "N_1", apiv1.Scope_SCOPE_DEVICE: "Q"}[m.Operation.GetScope()]
		start := replaceFirst(m.Operation.GetPath(), first)
		path := j.path(start, "a b/c")
		is := c.Find(apiv1.Verb_VERB_GET, path)
		if is != j.Read || path != replaceFirst(replaceFirst(j.Read.Operation.GetPath(), first), "a%20b%2Fc") {
			t.Errorf("%s: %s is %v", m.Name, path, is.GetOperation().GetId())
		}
	}
	if n != 18 {
		t.Errorf("%d jobs, want 18", n)
	}
}

// replaceFirst fills the first parameter of a template.
func replaceFirst(template, value string) string {
	from := slices.Index([]byte(template), '{')
	to := slices.Index([]byte(template), '}')
	return template[:from] + value + template[to+1:]
}

// A script is a Dashboard that answers one poll after the other, and notes when.
type script struct {
	answers []any // a JSON text, or an error
	starts  int
	polls   []time.Duration
	states  []string
	begun   time.Time
}

func (s *script) run(ctx context.Context, t *testing.T, operation, start string) error {
	t.Helper()
	c := loaded(t)
	j, err := NewJob(c, c.Operation(operation).Operation)
	if err != nil {
		t.Fatal(err)
	}
	s.begun = time.Now()
	note := func(_ context.Context, a *broker.Answer) error {
		s.states = append(s.states, string(a.Body))
		return nil
	}
	poll := &broker.Call{Operation: j.Read.Operation, MaxAge: time.Hour}
	return j.Run(ctx, &broker.Call{Operation: c.Operation(operation).Operation, Path: "/devices/Q2XX-1/liveTools/ping"}, poll, Steps{
		Start: func(context.Context, *broker.Call) (*broker.Answer, error) {
			s.starts++
			return &broker.Answer{Status: 201, Body: []byte(start)}, nil
		},
		Read: func(_ context.Context, call *broker.Call) (*broker.Answer, error) {
			if call.Path != "/devices/Q2XX-1/liveTools/ping/7" || call.MaxAge != 0 {
				t.Errorf("the poll asks for %s, no older than %v", call.Path, call.MaxAge)
			}
			s.polls = append(s.polls, time.Since(s.begun))
			next := s.answers[min(len(s.polls), len(s.answers))-1]
			if err, ok := next.(error); ok {
				return nil, err
			}
			return &broker.Answer{Status: 200, Body: []byte(next.(string))}, nil
		},
		Started: note, Changed: note, Lifetime: context.Background(),
	})
}

const ping = "createDeviceLiveToolsPing"

// TestJobSendsChangedStates: one start, polls at the documented pace, a message for
// each state that is another by its values, and the end with the last.
func TestJobSendsChangedStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []any{
			`{"status":"running","pingId":"7"}`, `{"pingId":"7", "status":"running"}`,
			`{"status":"running","pingId":"7","sent":1}`, `{"status":"complete","pingId":"7"}`,
		}}
		if err := s.run(t.Context(), t, ping, `{"status":"new","pingId":"7"}`); err != nil {
			t.Fatal(err)
		}
		want := []time.Duration{2 * time.Second, 5 * time.Second, 9500 * time.Millisecond, 14500 * time.Millisecond}
		if s.starts != 1 || !slices.Equal(s.polls, want) {
			t.Errorf("%d starts, polls after %v", s.starts, s.polls)
		}
		if len(s.states) != 4 || s.states[3] != `{"status":"complete","pingId":"7"}` {
			t.Errorf("states %q", s.states)
		}
	})
}

// TestJobThatHasEndedAtOnce is not polled.
func TestJobThatHasEndedAtOnce(t *testing.T) {
	t.Parallel()
	s := new(script)
	if err := s.run(t.Context(), t, ping, `{"status":"failed","pingId":"7"}`); err != nil || len(s.polls) != 0 || len(s.states) != 1 {
		t.Errorf("%v, polls after %v, states %q", err, s.polls, s.states)
	}
}

// TestPollsThatFail: a poll that fails is made again, a job is not started again, and
// the fault that ends the polls says which job goes on.
func TestPollsThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := &fault.Error{Kind: fault.Unreachable, Detail: "no answer"}
		s := &script{answers: []any{down, down, &fault.Error{Kind: fault.NotFound}, down, `{"status":"complete"}`}}
		if err := s.run(t.Context(), t, ping, `{"status":"new","pingId":"7"}`); err != nil || s.starts != 1 || len(s.states) != 2 {
			t.Errorf("%v: %d starts, states %q", err, s.starts, s.states)
		}
		for _, test := range []struct {
			answer error
			polls  int
		}{
			{down, mostFailedPolls},
			{&fault.Error{Kind: fault.KeyRejected, Detail: "the key"}, 1},
		} {
			s = &script{answers: []any{test.answer}}
			err := s.run(t.Context(), t, ping, `{"status":"new","pingId":"7"}`)
			f := fault.As(err)
			if !errors.Is(err, test.answer) || !f.NoRetry || f.Operation != ping || len(s.polls) != test.polls || s.starts != 1 {
				t.Errorf("%+v: %d polls, %d starts", f, len(s.polls), s.starts)
			}
			if want := "the job 7 has been started and goes on, and getDeviceLiveToolsPing reads its state; it is followed no more: " + fault.As(test.answer).Detail; f.Detail != want {
				t.Errorf("the fault says %q", f.Detail)
			}
		}
	})
}

// TestCallerLeavesAJob: its polls end. Without a deadline they end after a quarter of an hour.
func TestCallerLeavesAJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			leaves time.Duration
			kind   fault.Kind
			polls  int
		}{
			{6 * time.Second, fault.Cancelled, 2},
			{0, fault.DeadlineExceeded, 181},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			if test.leaves > 0 {
				time.AfterFunc(test.leaves, cancel)
			}
			s := &script{answers: []any{`{"status":"running"}`}}
			err := s.run(ctx, t, ping, `{"status":"new","pingId":"7"}`)
			cancel()
			if f := fault.As(err); f == nil || f.Kind != test.kind || len(s.polls) != test.polls {
				t.Errorf("after %v: %v, %d polls", test.leaves, err, len(s.polls))
			}
			time.Sleep(time.Minute)
			if len(s.polls) != test.polls {
				t.Error("it is polled by nobody's wish")
			}
		}
	})
}

// TestStartWithoutAnID: the job goes on and cannot be read; to start it once more
// would make two.
func TestStartWithoutAnID(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{}`, `{"pingId":null}`, `[]`, ``} {
		s := new(script)
		f := fault.As(s.run(t.Context(), t, ping, body))
		if f == nil || f.Kind != fault.OutcomeUnknown || !f.NoRetry || s.starts != 1 || len(s.states) != 0 {
			t.Errorf("%q: %v", body, f)
		}
	}
}
