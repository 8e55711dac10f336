package main

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// A site is the Dashboard of a scenario: a sandbox on loopback, with a door at
// which everything that comes is written down.
type site struct {
	sandbox  *sandbox.Sandbox
	contract *contract.Contract
	// url is the base address that the broker is told.
	url string
	// authority is the file of what is to be trusted for it; empty for the system's.
	authority    string
	organization string

	mu     sync.Mutex
	visits []visit
	hosts  int // calls handed out, see serial
}

// A visit is one request that came to the door.
type visit struct {
	path   string // below /api/v1
	at     time.Time
	took   time.Duration
	status int
}

// Of the sandbox's world: enough devices for every call to ask for another one.
const (
	networksOfOrganization = 400
	devicesOfNetwork       = 100
)

// jitter is what the network to the Dashboard adds in the scenarios about the
// budget: what burst 8 at 10/s leaves room for.
const jitter = 200 * time.Millisecond

// site starts a sandbox; it ends with the scenario.
func (r *run) site(o sandbox.Options) (*site, error) {
	return r.smallSite(o, networksOfOrganization, devicesOfNetwork)
}

// smallSite is one with another number of networks and devices.
func (r *run) smallSite(o sandbox.Options, networks, devices int) (*site, error) {
	served, err := contract.Load()
	if err != nil {
		return nil, err
	}
	o.NetworksPerOrganization, o.DevicesPerNetwork = networks, devices
	if o.Seed == 0 {
		o.Seed = r.nextSeed()
	}
	sim, err := sandbox.New(served, o)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &site{sandbox: sim, contract: served, url: "http://" + l.Addr().String() + "/api/v1", organization: sim.OrganizationID(0)}
	server := &http.Server{Handler: s.door(sim.Handler()), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(l) // ends with Close
	}()
	r.closing(func() {
		_ = server.Close()
		<-ended
	})
	return s, nil
}

// door writes down who comes, before the sandbox's jitter, and what they are told.
func (s *site) door(inside http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, api := strings.CutPrefix(r.URL.Path, "/api/v1")
		if !api {
			inside.ServeHTTP(w, r)
			return
		}
		v := visit{path: path, at: time.Now()}
		watch := &statusWriter{ResponseWriter: w}
		defer func() {
			v.took, v.status = time.Since(v.at), watch.status
			s.mu.Lock()
			s.visits = append(s.visits, v)
			s.mu.Unlock()
		}()
		inside.ServeHTTP(watch, r)
	})
}

// A statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets the sandbox break the connection off.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// serial gives a device of the site's organization that nobody has asked for.
func (s *site) serial() string { return s.serialOf(0) }

// serialOf gives a device of an organization that nobody has asked for.
func (s *site) serialOf(organization int) string {
	s.mu.Lock()
	n := s.hosts
	s.hosts++
	s.mu.Unlock()
	n %= networksOfOrganization * devicesOfNetwork
	return s.sandbox.Serial(organization, n/devicesOfNetwork, n%devicesOfNetwork)
}

// all gives the visits so far.
func (s *site) all() []visit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]visit(nil), s.visits...)
}

// answered gives when those came that got an answer, whatever it was. A request
// whose caller has left on the way got none, and has used nothing that anyone
// has something of.
func answered(visits []visit) []time.Time {
	var at []time.Time
	for _, v := range visits {
		if v.status != 0 {
			at = append(at, v.at)
		}
	}
	return at
}

// givenUp counts those that got none.
func givenUp(visits []visit) int { return len(visits) - len(answered(visits)) }

// arrivals gives when they came: all, or those that were told one of some statuses.
func arrivals(visits []visit, status ...int) []time.Time {
	var at []time.Time
	for _, v := range visits {
		wanted := len(status) == 0
		for _, s := range status {
			wanted = wanted || v.status == s
		}
		if wanted {
			at = append(at, v.at)
		}
	}
	return at
}

// settled waits until the last requests are written down: until nobody is inside.
func (s *site) settled(ctx context.Context) {
	for range 50 {
		if s.sandbox.Organization(s.organization).InFlight == 0 {
			return
		}
		if pause(ctx, 20*time.Millisecond) != nil {
			return
		}
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
