package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// What is watched, by whom. Watchers are ten services'.
const (
	watchedNetworks, watchedDevices = 5, 100 // of each network
	watchersInAll                   = 200
)

// A watching is all watchers of a scenario, and the changes that they are to see.
type watching struct {
	*group
	age      time.Duration
	watchers []*watcher
	made     []time.Time // the changes, by their number
}

// A watcher is one watch of the site's devices, and what it was sent.
type watcher struct {
	at *replica

	mu     sync.Mutex
	seen   map[int][]time.Time // the changes that it was sent, by their number
	wholes int
	gone   bool // its replica has been killed
	err    error
}

// watch has 200 watchers of the same devices at three replicas; then loses the store, and
// then the replicas that poll, one after the other.
func watch(ctx context.Context, r *run) error {
	w := &watching{group: new(group), age: r.length(10*time.Second, time.Second)}
	var err error
	if w.site, err = r.smallSite(sandbox.Options{Organizations: 1, Jitter: jitter}, watchedNetworks, watchedDevices); err != nil {
		return err
	}
	if w.store, err = r.store(ctx); err != nil {
		return err
	}
	if w.replicas, err = r.replicas(ctx, w.site, fleet{count: 3, store: w.store}); err != nil {
		return err
	}
	before, err := w.memory()
	if err != nil {
		return err
	}
	ended, err := w.open(ctx)
	if err != nil {
		return err
	}
	defer ended()
	r.progress.shows(func() string {
		return fmt.Sprintf("%d watchers, %d changes, %d polls", len(w.watchers), len(w.made), len(w.polls()))
	})
	if err := pause(ctx, 2*w.age); err != nil { // all have the first state
		return err
	}
	from := time.Now()
	if err := w.changes(ctx, 8, 3*w.age/2); err != nil {
		return err
	}
	r.measured()
	r.figure("polls in an age, of 200 watchers at three replicas", w.perAge(from, time.Now()), figure.Count, figure.AtMost(1.1))
	w.reach(r, "", 0, 1.2)
	after, err := w.memory()
	if err != nil {
		return err
	}
	r.figure("memory of the three replicas, for each watcher", (after-before)/watchersInAll/1e6, figure.Megabytes, figure.Aim{})
	r.figure("memory of a replica with its watchers, the mean", after/3/1e6, figure.Megabytes, figure.Aim{})
	if err := w.loseStore(ctx, r); err != nil {
		return err
	}
	for i := range 2 {
		if err := w.losePoller(ctx, r, []string{"the replica that polls killed", "and the next one"}[i]); err != nil {
			return err
		}
	}
	seen := w.site.sandbox.Organization(w.site.organization)
	r.figure("429s", float64(seen.Answered[429]), figure.Count, figure.AtMost(0))
	r.figure("worst overdraft of 10/s + 10", seen.WorstOverdraft, figure.Count, figure.AtMost(0))
	twice, missed, wholes := w.wrong()
	r.figure("changes that a watcher saw twice", float64(twice), figure.Count, figure.AtMost(0))
	r.figure("changes that a watcher missed", float64(missed), figure.Count, figure.AtMost(0))
	r.figure("states sent whole, for each watcher", figure.Per(wholes, watchersInAll), figure.Count, figure.AtMost(1))
	r.note("%d devices, an age of %v, one page. A change renames a device, at a random moment for the polls; it is at a watcher when the message with the new name is. Watchers of a replica that was killed count until then.",
		watchedNetworks*watchedDevices, w.age)
	r.note("The store is killed (kill -9) and started again empty; the replicas that poll are killed, too, one after the other, each right after a poll.")
	return nil
}

// open begins all watches. What it gives ends them.
func (w *watching) open(ctx context.Context) (ended func(), err error) {
	request, err := w.site.watchRequest("getOrganizationDevices", w.age)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	ended = func() { cancel(); all.Wait() }
	for i := range watchersInAll {
		x := &watcher{at: w.replicas[i%len(w.replicas)], seen: make(map[int][]time.Time)}
		who := metadata.AppendToOutgoingContext(ctx, "x-forwarded-client-cert", "URI="+caller{name: fmt.Sprint("service-", i%10)}.identity())
		stream, err := brokerv1.NewWatchServiceClient(x.at.conn).Watch(who, request)
		if err != nil {
			ended()
			return nil, err
		}
		w.watchers = append(w.watchers, x)
		all.Go(func() { x.read(stream) })
	}
	return ended, nil
}

// changeName finds the number of a change in the name of a device.
var changeName = regexp.MustCompile(`change-(\d+)\.`)

// read notes what is sent, until the watch ends.
func (x *watcher) read(stream brokerv1.WatchService_WatchClient) {
	for {
		out, err := stream.Recv()
		now := time.Now()
		x.mu.Lock()
		if err != nil {
			x.err = err
			x.mu.Unlock()
			return
		}
		if out.GetWhole() {
			x.wholes++
		}
		for _, found := range changeName.FindAllSubmatch(out.GetChanged().GetValue(), -1) {
			if n, err := strconv.Atoi(string(found[1])); err == nil {
				x.seen[n] = append(x.seen[n], now)
			}
		}
		x.mu.Unlock()
	}
}

// changes renames devices, one in a while, and waits until the last is at everyone.
func (w *watching) changes(ctx context.Context, n int, every time.Duration) error {
	for range n {
		number := len(w.made)
		serial := w.site.sandbox.Serial(0, number%watchedNetworks, number%watchedDevices)
		w.made = append(w.made, time.Now())
		if err := w.site.sandbox.AddChange(sandbox.Change{Path: "/devices/" + serial, Body: []byte(fmt.Sprintf(`{"name":"change-%d."}`, number))}); err != nil {
			return err
		}
		// Not in step with the polls.
		if err := pause(ctx, every+time.Duration(number%7)*w.age/10); err != nil {
			return err
		}
	}
	return nil
}

// polls are the requests of watches that were answered.
func (w *watching) polls() []time.Time {
	var at []time.Time
	for _, v := range w.site.all() {
		if v.status != 0 && strings.HasSuffix(v.path, "/devices") {
			at = append(at, v.at)
		}
	}
	return at
}

// perAge is how many polls came in an age of a stretch of time, which begins with one of
// them: that one does not count.
func (w *watching) perAge(from, to time.Time) float64 {
	at := slices.DeleteFunc(w.polls(), func(t time.Time) bool { return t.Before(from) || t.After(to) })
	slices.SortFunc(at, time.Time.Compare)
	if len(at) < 2 {
		return 0
	}
	return float64(len(at)-1) * w.age.Seconds() / to.Sub(at[0]).Seconds()
}

// reach says how long the changes from one on have taken to be at all watchers, in ages.
func (w *watching) reach(r *run, when string, first int, most float64) {
	var took figure.Sample
	for n := first; n < len(w.made); n++ {
		worst := 0.0
		for _, x := range w.watchers {
			x.mu.Lock()
			if seen := x.seen[n]; len(seen) > 0 {
				worst = max(worst, seen[0].Sub(w.made[n]).Seconds())
			}
			x.mu.Unlock()
		}
		took = append(took, worst)
	}
	r.figure(when+"a change is at all watchers, the slowest", took.Max(), figure.Seconds, figure.AtMost(most*w.age.Seconds()))
}

// loseStore kills the store for a while: each replica polls for itself.
func (w *watching) loseStore(ctx context.Context, r *run) error {
	w.store.crash()
	first, from := len(w.made), time.Now()
	if err := w.changes(ctx, 4, 3*w.age/2); err != nil {
		return err
	}
	r.figure("the store killed: polls in an age", w.perAge(from, time.Now()), figure.Count, figure.AtMost(3.3))
	w.reach(r, "the store killed: ", first, 1.2)
	if err := w.store.start(ctx); err != nil {
		return err
	}
	if err := pause(ctx, 2*w.age); err != nil { // of what was polled alone
		return err
	}
	first, from = len(w.made), time.Now()
	if err := w.changes(ctx, 4, 3*w.age/2); err != nil {
		return err
	}
	r.figure("two ages after the store is back, empty: polls in an age", w.perAge(from, time.Now()), figure.Count, figure.AtMost(1.1))
	w.reach(r, "the store back: ", first, 1.2)
	return nil
}

// losePoller kills the replica that has polled last, right after it has.
func (w *watching) losePoller(ctx context.Context, r *run, when string) error {
	which, err := w.poller(ctx)
	if err != nil {
		return err
	}
	for _, x := range w.watchers {
		if x.at == w.replicas[which] {
			x.mu.Lock()
			x.gone = true
			x.mu.Unlock()
		}
	}
	w.replicas[which].child.kill()
	w.replicas = append(w.replicas[:which:which], w.replicas[which+1:]...)
	before := w.polls()
	if len(before) == 0 {
		return errors.New("nobody has polled")
	}
	last, first := before[len(before)-1], len(w.made)
	if err := w.changes(ctx, 2, 2*w.age); err != nil {
		return err
	}
	after := w.polls()
	if len(after) == len(before) {
		return errors.New("nobody polls any more")
	}
	r.figure(when+": from its last poll to the next", after[len(before)].Sub(last).Seconds(), figure.Seconds, figure.AtMost(1.5*w.age.Seconds()))
	w.reach(r, when+": ", first, 1.5)
	return nil
}

// poller waits for a poll, and says which replica has made it.
func (w *watching) poller(ctx context.Context) (int, error) {
	var before []float64
	until := time.Now().Add(4 * w.age)
	for time.Now().Before(until) {
		var now []float64
		for _, p := range w.replicas {
			n, err := p.metric(ctx, "merakibroker_watch_polls_total")
			if err != nil {
				return 0, err
			}
			now = append(now, n)
		}
		for i := range before {
			if now[i] > before[i] {
				return i, nil
			}
		}
		before = now
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return 0, err
		}
	}
	return 0, errors.New("no replica has polled for four ages")
}

// metric is the sum of the series of a metric at a replica.
func (p *replica) metric(ctx context.Context, name string) (sum float64, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.admin+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if series, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.HasPrefix(series, name+"{") {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return 0, err
			}
			sum += n
		}
	}
	return sum, nil
}

// memory is what all replicas have in memory, in bytes.
func (w *watching) memory() (sum float64, err error) {
	for _, p := range w.replicas {
		u, err := p.child.usage()
		if err != nil {
			return 0, err
		}
		sum += u.resident
	}
	return sum, nil
}

// wrong counts what watchers saw twice and missed, while their replica was there, and how
// often they were sent all.
func (w *watching) wrong() (twice, missed, wholes int) {
	for _, x := range w.watchers {
		x.mu.Lock()
		wholes += x.wholes
		for n := range w.made {
			switch seen := len(x.seen[n]); {
			case seen > 1:
				twice++
			case seen == 0 && !x.gone:
				missed++
			}
		}
		x.mu.Unlock()
	}
	return twice, missed, wholes
}
