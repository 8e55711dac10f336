package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/merakibroker/merakibroker/service/sandbox/document"
)

// An effect is what happens at a time of its own, without a request: the end of
// an action batch, a change by script. The sandbox has no goroutine that waits
// for the time. Before anybody looks, settle lets happen what is due.
type effect struct {
	at  time.Time
	run func(now time.Time)
}

// effects are those to come.
type effects struct {
	next  atomic.Int64 // when the first is due, in Unix nanoseconds; 0: none is to come
	mu    sync.Mutex
	queue []effect // by time; of the same time, in the order in which they came
}

// add lets run happen at an instant.
func (e *effects) add(at time.Time, run func(now time.Time)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := sort.Search(len(e.queue), func(i int) bool { return e.queue[i].at.After(at) })
	e.queue = append(e.queue, effect{})
	copy(e.queue[i+1:], e.queue[i:])
	e.queue[i] = effect{at, run}
	e.next.Store(e.queue[0].at.UnixNano())
}

// due takes out the first effect if its time has come.
func (e *effects) due(now time.Time) (effect, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.queue) == 0 || e.queue[0].at.After(now) {
		return effect{}, false
	}
	first := e.queue[0]
	e.queue = e.queue[1:]
	e.next.Store(0)
	if len(e.queue) > 0 {
		e.next.Store(e.queue[0].at.UnixNano())
	}
	return first, true
}

func (e *effects) reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.queue = nil
	e.next.Store(0)
}

// settle lets everything happen that is due. Each effect happens alone: no
// request is executed meanwhile, so that nobody sees one half done.
func (s *Sandbox) settle() {
	now := s.opts.Now()
	if next := s.effects.next.Load(); next == 0 || now.UnixNano() < next {
		return
	}
	s.alone.Lock()
	defer s.alone.Unlock()
	for {
		e, ok := s.effects.due(now)
		if !ok {
			return
		}
		e.run(e.at)
	}
}

// Times are the durations that a test may change while the sandbox runs. Their
// JSON is what PUT /_sim/times takes; what it leaves out stays as it is.
type Times struct {
	// Latency is how long an answer takes; Jitter bounds a random delay before a
	// request is counted.
	Latency Duration `json:"latency"`
	Jitter  Duration `json:"jitter"`
	// An action batch takes Batch, or SynchronousBatch, and BatchAction for each
	// of its actions.
	Batch            Duration `json:"batch"`
	SynchronousBatch Duration `json:"synchronousBatch"`
	BatchAction      Duration `json:"batchAction"`
	// Job is how long live tools and other jobs take.
	Job Duration `json:"job"`
	// Delete is how long deleting a network takes.
	Delete Duration `json:"delete"`
}

// Times gives the durations that hold now.
func (s *Sandbox) Times() Times { return *s.times.Load() }

// SetTimes replaces the durations, for what begins from now on.
func (s *Sandbox) SetTimes(t Times) { s.times.Store(&t) }

// A Change is what somebody does in the Dashboard's own pages, or what happens
// to a device: no request of the API, so that no budget pays for it, and no
// statistics count it. Its JSON is what POST /_sim/changes takes.
type Change struct {
	// Method is PUT where empty: Body is laid over what stands at Path. POST
	// creates a row, DELETE deletes.
	Method string `json:"method,omitempty"`
	// Path is below /api/v1: a resource, or a row of a collection by its key
	// (/organizations/ID/devices/statuses/SERIAL).
	Path string `json:"path"`
	// Body is a JSON object. {n} in it is the number of the change, from 1.
	Body json.RawMessage `json:"body,omitempty"`
	// In is how long it is until the change, Every how long until it comes again;
	// 0 is once. Times is how often it comes in all; 0 for ever.
	In    Duration `json:"in,omitempty"`
	Every Duration `json:"every,omitempty"`
	Times int      `json:"times,omitempty"`
}

// ChangeMade is a change that has happened.
type ChangeMade struct {
	Time   time.Time `json:"time"`
	Path   string    `json:"path"`
	Number int       `json:"number"`
	Error  string    `json:"error,omitempty"` // why nothing has changed
}

const (
	// soonestChange bounds how often a change may come.
	soonestChange = 10 * time.Millisecond
	// mostChanges bounds the changes that are remembered; the oldest goes first.
	mostChanges = 10_000
)

// changes are those that have happened. A change that is to come belongs to a
// generation, and does not come when that has ended.
type changes struct {
	mu         sync.Mutex
	made       []ChangeMade
	generation int
}

// AddChange lets something change without a request.
func (s *Sandbox) AddChange(x Change) error {
	if x.Method == "" {
		x.Method = http.MethodPut
	}
	if x.Method != http.MethodPut && x.Method != http.MethodPost && x.Method != http.MethodDelete {
		return fmt.Errorf("sandbox: a change is a PUT, POST or DELETE, not %q", x.Method)
	}
	if x.In < 0 || x.Times < 0 || x.Every != 0 && time.Duration(x.Every) < soonestChange {
		return errors.New("sandbox: a change comes every 10ms at most; its times and its delay cannot be below zero")
	}
	if u, err := url.Parse(x.Path); err != nil || !strings.HasPrefix(x.Path, "/") || u.RawQuery != "" {
		return fmt.Errorf("sandbox: %q is not a path below /api/v1", x.Path)
	}
	s.changes.mu.Lock()
	generation := s.changes.generation
	s.changes.mu.Unlock()
	first := make(chan string, 1)
	var run func(number int, now time.Time)
	run = func(number int, now time.Time) {
		problem, current := s.change(x, number, now, generation)
		if number == 1 {
			first <- problem
		}
		if current && x.Every > 0 && (x.Times == 0 || number < x.Times) {
			s.effects.add(now.Add(time.Duration(x.Every)), func(now time.Time) { run(number+1, now) })
		}
	}
	s.effects.add(s.opts.Now().Add(time.Duration(x.In)), func(now time.Time) { run(1, now) })
	if x.In > 0 {
		return nil
	}
	s.settle()
	if problem := <-first; problem != "" {
		return errors.New("sandbox: nothing changes at " + x.Path + ": " + problem)
	}
	return nil
}

// Changes lists the changes that have happened, the oldest first.
func (s *Sandbox) Changes() []ChangeMade {
	s.settle()
	s.changes.mu.Lock()
	defer s.changes.mu.Unlock()
	return append([]ChangeMade{}, s.changes.made...)
}

// ClearChanges ends the changes that are to come.
func (s *Sandbox) ClearChanges() {
	s.changes.mu.Lock()
	defer s.changes.mu.Unlock()
	s.changes.generation++
}

func (c *changes) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made = nil
	c.generation++
}

// change makes a change, and says why it did not; current is false when changes
// of its generation have ended.
func (s *Sandbox) change(x Change, number int, now time.Time, generation int) (problem string, current bool) {
	s.changes.mu.Lock()
	defer s.changes.mu.Unlock()
	if s.changes.generation != generation {
		return "", false
	}
	body := []byte(strings.ReplaceAll(string(x.Body), "{n}", strconv.Itoa(number)))
	if no := s.applyChange(x, body, now); no != nil {
		problem = strconv.Itoa(no.status) + " " + no.reasons()
	}
	s.changes.made = append(s.changes.made, ChangeMade{Time: now, Path: x.Path, Number: number, Error: problem})
	if over := len(s.changes.made) - mostChanges; over > 0 {
		s.changes.made = s.changes.made[over:]
	}
	return problem, true
}

// applyChange writes as a request would; nil when it could.
func (s *Sandbox) applyChange(x Change, body []byte, now time.Time) *response {
	c := &request{s: s, now: now, path: "/" + strings.Trim(x.Path, "/"), body: body}
	c.r = &http.Request{Method: x.Method, URL: &url.URL{Path: x.Path}, Header: http.Header{}}
	s.locate(c)
	switch {
	case c.route != nil && c.known:
		if a := s.perform(c); a.status >= 300 {
			return a
		}
	case c.route == nil && x.Method == http.MethodPut:
		if no := s.changeRow(c); no != nil {
			return no
		}
	default:
		return refusal(http.StatusNotFound, saysNotFound)
	}
	c.org.version.Add(1)
	return nil
}

// changeRow changes a row that no operation writes: a device's status.
func (s *Sandbox) changeRow(c *request) *response {
	patch := document.DecodeObject(c.body)
	if patch == nil {
		return refusal(http.StatusBadRequest, "the body is not an object")
	}
	i := strings.LastIndexByte(c.path, '/')
	if i == 0 {
		return refusal(http.StatusNotFound, saysNotFound)
	}
	key := c.path[i+1:]
	c.path = c.path[:i]
	c.r = &http.Request{Method: http.MethodGet, URL: &url.URL{Path: c.path}, Header: http.Header{}}
	s.locate(c)
	if c.route == nil || !c.known || s.form(c.route).row == nil {
		return refusal(http.StatusNotFound, saysNotFound)
	}
	d := s.form(c.route)
	l := s.listing(c, d)
	n, ok := l.find(key)
	if !ok {
		return refusal(http.StatusNotFound, saysNotFound)
	}
	fit, _ := d.row.Conform(patch)
	row := document.Merge(document.DecodeObject(l.row(nil, n)), document.Object(fit))
	s.store.put(l.base+key, &resource{body: document.Encode(row), shape: d.row})
	return nil
}
