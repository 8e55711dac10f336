package sandbox

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/merakibroker/merakibroker/service/sandbox/document"
)

// saysInvalid is what a write is refused with where a Rejection has no words.
const saysInvalid = "Validation failed: Name has already been taken"

// A Rejection makes the Dashboard refuse writes for what they say, as it does
// with a name that is taken: alone with a 400, in an action batch by failing the
// whole batch. Its JSON is what POST /_sim/rejections takes.
type Rejection struct {
	// What it matches: all that are given.
	Operation string `json:"operation,omitempty"`
	Path      string `json:"path,omitempty"`     // what the path below /api/v1 begins with
	Contains  string `json:"contains,omitempty"` // a text in the body
	// Messages are the vendor's words; saysInvalid where there are none.
	Messages []string `json:"messages,omitempty"`
	// AtPost refuses a batch when it is posted, with a 400 that names no action.
	// Otherwise the batch is accepted, and fails when it runs.
	AtPost bool `json:"atPost,omitempty"`
	// Unnamed leaves operation, path and body out of a failed batch's error.
	Unnamed bool `json:"unnamed,omitempty"`
	// Skip lets so many matching writes pass first; Times is how many are refused, 0 all.
	Skip  int `json:"skip,omitempty"`
	Times int `json:"times,omitempty"`
}

func (x *Rejection) matches(c *request) bool {
	if x.Operation == "" && strings.Contains(c.route.op.GetPath(), "/actionBatches") {
		return false // its actions are what is meant, not the batch around them
	}
	return (x.Operation == "" || c.route.op.GetId() == x.Operation) && strings.HasPrefix(c.path, x.Path) && strings.Contains(string(c.body), x.Contains)
}

func (x *Rejection) words() []string {
	if len(x.Messages) == 0 {
		return []string{saysInvalid}
	}
	return x.Messages
}

// rejections are those that are in force.
type rejections struct {
	mu  sync.Mutex
	all []*Rejection
}

// find gives the rejection that a write meets; nil when there is none. A batch
// asks twice: for those at its POST, and for the others when it runs.
func (r *rejections) find(c *request, atPost func(*Rejection) bool) *Rejection {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, x := range r.all {
		if !atPost(x) || !x.matches(c) {
			continue
		}
		if x.Skip > 0 {
			x.Skip--
			continue
		}
		if x.Times == 1 {
			r.all = append(r.all[:i:i], r.all[i+1:]...)
		}
		x.Times = max(0, x.Times-1)
		return x
	}
	return nil
}

func anyTime(*Rejection) bool       { return true }
func whenPosted(x *Rejection) bool  { return x.AtPost }
func whenRunning(x *Rejection) bool { return !x.AtPost }

// AddRejection lets writes be refused for what they say.
func (s *Sandbox) AddRejection(x Rejection) error {
	if x.Operation != "" && s.router.byID[x.Operation] == nil {
		return fmt.Errorf("sandbox: there is no operation %q", x.Operation)
	}
	if x.Skip < 0 || x.Times < 0 {
		return errors.New("sandbox: skip and times of a rejection cannot be below zero")
	}
	s.rejections.mu.Lock()
	defer s.rejections.mu.Unlock()
	s.rejections.all = append(s.rejections.all, &x)
	return nil
}

// ClearRejections ends all rejections.
func (s *Sandbox) ClearRejections() {
	s.rejections.mu.Lock()
	defer s.rejections.mu.Unlock()
	s.rejections.all = nil
}

// rejected refuses a write that a rejection matches; nil lets it pass.
func (s *Sandbox) rejected(c *request) *response {
	when := anyTime
	if c.inBatch {
		when = whenRunning
	}
	x := s.rejections.find(c, when)
	if x == nil {
		return nil
	}
	no := refusal(http.StatusBadRequest, x.words()...)
	no.unnamed = x.Unnamed
	return no
}

// reasons are the messages of a refusal as one text.
func (a *response) reasons() string {
	return strings.Join(document.Texts(document.DecodeObject(a.body)["errors"]), ", ")
}
