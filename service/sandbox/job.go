package sandbox

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/merakibroker/merakibroker/service/sandbox/document"
)

// A jobKind is a family of operations that start something whose state is read
// until it has ended. The words are those of the vendor's document.
type jobKind struct {
	part         string   // of the path of the operation that starts it
	property     string   // where the state stands: status, or swaps[].status
	states       []string // in order, before the end
	done, failed string
}

var jobKinds = []jobKind{
	{"/liveTools/", "status", []string{"new", "scheduled", "ready", "running"}, "complete", "failed"},
	{"/sensor/commands", "status", []string{"pending", "in_progress"}, "completed", "failed"},
	{"/webhooks/webhookTests", "status", []string{"enqueued", "processing"}, "delivered", "abandoned"},
	{"/devices/swaps/bulk", "swaps[].status", []string{"pending"}, "complete", "failed"},
	{"/packetCapture/captures", "status", []string{"new", "capturing", "exporting", "downloading"}, "completed", "failed"},
	{"/networks/moves", "result.status", []string{"pending", "in progress"}, "completed", "failed"},
}

// A job is something that a request started and that takes a while.
type job struct {
	kind          *jobKind
	started, ends time.Time
	script        JobScript
}

// A JobScript says how jobs go that matching requests start: live tools, other
// jobs, and action batches. Its JSON is what POST /_sim/jobs takes.
type JobScript struct {
	// What it matches: all that are given.
	Operation string `json:"operation,omitempty"`
	Path      string `json:"path,omitempty"` // what the path below /api/v1 begins with
	// Time is how long the job takes, in place of the usual time.
	Time *Duration `json:"time,omitempty"`
	// Failed ends the job as failed with this text. A batch has then done nothing.
	Failed string `json:"failed,omitempty"`
	// Error ends the job as complete, with this text beside it nevertheless.
	Error string `json:"error,omitempty"`
	// Endless keeps the job, or the batch, in its last state before the end, with
	// Error beside it where that is given.
	Endless bool `json:"endless,omitempty"`
	// Skip lets so many matching jobs go as usual first; Times is for how many it
	// holds, 0 all.
	Skip  int `json:"skip,omitempty"`
	Times int `json:"times,omitempty"`
}

// jobScripts are those that are in force.
type jobScripts struct {
	mu  sync.Mutex
	all []*JobScript
}

// next gives the script of the job that a request starts, and how long the job
// takes where it usually takes usual.
func (j *jobScripts) next(c *request, usual time.Duration) (JobScript, time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, x := range j.all {
		if x.Operation != "" && c.route.op.GetId() != x.Operation || !strings.HasPrefix(c.path, x.Path) {
			continue
		}
		if x.Skip > 0 {
			x.Skip--
			continue
		}
		if x.Times == 1 {
			j.all = append(j.all[:i:i], j.all[i+1:]...)
		}
		x.Times = max(0, x.Times-1)
		if x.Time != nil {
			usual = time.Duration(*x.Time)
		}
		return *x, usual
	}
	return JobScript{}, usual
}

// AddJobScript says how the jobs go that matching requests start from now on.
func (s *Sandbox) AddJobScript(x JobScript) error {
	if x.Operation != "" && s.router.byID[x.Operation] == nil {
		return fmt.Errorf("sandbox: there is no operation %q", x.Operation)
	}
	if x.Skip < 0 || x.Times < 0 || x.Time != nil && *x.Time < 0 {
		return errors.New("sandbox: time, skip and times of a job cannot be below zero")
	}
	s.jobs.mu.Lock()
	defer s.jobs.mu.Unlock()
	s.jobs.all = append(s.jobs.all, &x)
	return nil
}

// ClearJobScripts lets jobs go as usual again.
func (s *Sandbox) ClearJobScripts() {
	s.jobs.mu.Lock()
	defer s.jobs.mu.Unlock()
	s.jobs.all = nil
}

// startJob gives the job that a POST starts; nil when it starts none.
func (s *Sandbox) startJob(c *request) *job {
	for i := range jobKinds {
		k := &jobKinds[i]
		if !strings.Contains(c.route.op.GetPath(), k.part) || c.route.verb != verbPost {
			continue
		}
		usual := time.Duration(s.Times().Job)
		if k.part == "/networks/moves" {
			usual = 0 // small networks move while the request lasts
		}
		script, takes := s.jobs.next(c, usual)
		c.job = &job{kind: k, started: c.now, ends: c.now.Add(takes), script: script}
		return c.job
	}
	return nil
}

// show writes the job's state at an instant into the resource that stands for
// it, and says whether time will change the state again.
func (j *job) show(o map[string]any, shape *document.Shape, now time.Time) (underway bool) {
	state, ended := j.state(now)
	where, rest, _ := strings.Cut(j.kind.property, ".")
	switch list, isList := strings.CutSuffix(where, "[]"); {
	case isList:
		rows, _ := o[list].([]any)
		for _, row := range rows {
			if row := document.Object(row); row != nil {
				row[rest] = state
			}
		}
	case rest != "":
		// How a move ended, its own request knows.
		if inner := document.Object(o[where]); inner != nil && (!ended || j.script.Failed != "") {
			inner[rest] = state
		}
	default:
		o[where] = state
	}
	live := j.kind.part == "/liveTools/"
	if live && (!ended || j.script.Failed != "") { // a result stands there when there is one
		for name := range o {
			if name != "status" && name != "url" && name != "request" && name != "callback" && !strings.HasSuffix(name, "Id") {
				delete(o, name)
			}
		}
	}
	if live || j.kind.part == "/sensor/commands" {
		j.showError(o, shape, ended)
	}
	return !ended
}

// showError has the text of the job's error, or none: the property is error with
// ten live tools, errors with four, and ping has neither.
func (j *job) showError(o map[string]any, shape *document.Shape, ended bool) {
	delete(o, "error")
	delete(o, "errors")
	said := j.script.Failed + j.script.Error
	switch {
	case said == "" || !ended && !j.script.Endless:
	case shape.Find("errors") != nil:
		o["errors"] = []any{said}
	case shape.Find("error") != nil:
		o["error"] = said
	}
}

// state is the job's state at an instant.
func (j *job) state(now time.Time) (word string, ended bool) {
	states := j.kind.states
	switch whole := j.ends.Sub(j.started); {
	case j.script.Endless && !now.Before(j.ends):
		return states[len(states)-1], false
	case !now.Before(j.ends) && j.script.Failed != "":
		return j.kind.failed, true
	case !now.Before(j.ends):
		return j.kind.done, true
	default:
		at := int(now.Sub(j.started) * time.Duration(len(states)) / whole)
		return states[min(max(0, at), len(states)-1)], false
	}
}
