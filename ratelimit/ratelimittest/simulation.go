package ratelimittest

import (
	"container/heap"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// A Load is a stream of calls that arrive at one replica, at random. Loads of one
// class at one replica are one class of its ask.
type Load struct {
	Replica int
	Class   ratelimit.Class
	Weight  float64
	Rate    float64 // calls a second
}

// A Simulation is traffic through the schedulers of some replicas to a server
// that has a bucket of its own. Calls leave with a delay at random, so that a
// 429 shows where the bound is not kept.
type Simulation struct {
	Budget   ratelimit.Budget
	Server   ratelimit.Limit
	Loads    []Load
	Duration time.Duration
	// Deadline is how long a call waits for its slot before it leaves.
	Deadline time.Duration
	// Outside is what another application sends past the schedulers, in requests
	// a second, between From and To; at even distances, or at random.
	Outside  float64
	From, To time.Duration
	Random   bool
	Seed     uint64
}

// Result is what became of it.
type Result struct {
	// By caller.
	Served, Offered map[string]int
	Waits           map[string][]time.Duration
	// Second counts the requests that the server accepted, by second.
	Second []int
	// Refused counts our 429s by second, and Others those of the application outside.
	Refused []int
	Others  int
	// Pulls and Stops are what the schedulers were asked.
	Pulls, Stops int
	// Total is what was granted.
	Total int
}

// Rate is what the server accepted between two moments, in requests a second.
func (r *Result) Rate(from, to time.Duration) float64 {
	return float64(sum(r.Second, from, to)) / (to - from).Seconds()
}

// Limited is the share of 429s among our requests between two moments.
func (r *Result) Limited(from, to time.Duration) float64 {
	refused := sum(r.Refused, from, to)
	return float64(refused) / float64(max(1, refused+sum(r.Second, from, to)))
}

// Wait is a quantile of a caller's waits.
func (r *Result) Wait(caller string, q float64) time.Duration {
	waits := slices.Sorted(slices.Values(r.Waits[caller]))
	if len(waits) == 0 {
		return 0
	}
	return waits[min(len(waits)-1, int(float64(len(waits))*q))]
}

func sum(by []int, from, to time.Duration) (n int) {
	for second := int(from.Seconds()); second < int(to.Seconds()) && second < len(by); second++ {
		n += by[second]
	}
	return n
}

// Delivery takes a request between these from the grant to the server.
const (
	fastest = 40 * time.Millisecond
	slowest = 240 * time.Millisecond
)

// An event is something that happens at a time.
type event struct {
	at    time.Duration
	order int
	do    func(at time.Duration)
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	*e = (*e)[:last]
	return x
}

// A run is a simulation on its way.
type run struct {
	Simulation
	clock  *Clock
	start  time.Time
	random *rand.Rand
	events events
	lanes  []*lane
	result *Result
	level  float64 // of the server's bucket
	filled time.Duration
}

// A lane is the queue of one replica.
type lane struct {
	scheduler ratelimit.Scheduler
	classes   []ratelimit.Waiting
	calls     [][]time.Duration // arrivals by class, oldest first
	poll      int               // number of the pull that is to come
}

// Run sends the traffic through the schedulers, one for each replica.
func (s Simulation) Run(clock *Clock, schedulers []ratelimit.Scheduler) *Result {
	seconds := int(s.Duration.Seconds()) + 2
	r := &run{
		Simulation: s, clock: clock, start: clock.Now(),
		random: rand.New(rand.NewPCG(s.Seed, 7)), level: s.Server.Burst,
		result: &Result{
			Served: map[string]int{}, Offered: map[string]int{}, Waits: map[string][]time.Duration{},
			Second: make([]int, seconds), Refused: make([]int, seconds),
		},
	}
	for _, scheduler := range schedulers {
		r.lanes = append(r.lanes, &lane{scheduler: scheduler})
	}
	for _, load := range s.Loads {
		r.arrivals(load)
	}
	if s.Outside > 0 {
		r.outside(s.From + seconds0(1/s.Outside*r.random.Float64()))
	}
	for len(r.events) > 0 {
		e := heap.Pop(&r.events).(event)
		if e.at > s.Duration {
			break
		}
		clock.Set(r.start.Add(e.at))
		e.do(e.at)
	}
	return r.result
}

func seconds0(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (r *run) at(at time.Duration, do func(time.Duration)) {
	heap.Push(&r.events, event{at, len(r.events) + r.result.Total<<20, do})
}

// arrivals lets the calls of a load arrive, one after the other.
func (r *run) arrivals(load Load) {
	l := r.lanes[load.Replica%len(r.lanes)]
	class := slices.IndexFunc(l.classes, func(w ratelimit.Waiting) bool { return w.Class == load.Class })
	if class < 0 {
		class = len(l.classes)
		l.classes = append(l.classes, ratelimit.Waiting{Class: load.Class, Weight: load.Weight})
		l.calls = append(l.calls, nil)
	}
	var next func(at time.Duration)
	next = func(at time.Duration) {
		r.result.Offered[load.Class.Caller]++
		l.calls[class] = append(l.calls[class], at)
		if len(l.calls[class]) == 1 { // the first of its class is news
			r.pull(l, at)
		}
		r.at(at+seconds0(r.random.ExpFloat64()/load.Rate), next)
	}
	r.at(seconds0(r.random.ExpFloat64()/load.Rate), next)
}

// pull asks for slots, and comes again when it is told to.
func (r *run) pull(l *lane, at time.Duration) {
	l.poll++
	var waiting []ratelimit.Waiting
	for i := range l.classes {
		for len(l.calls[i]) > 0 && at-l.calls[i][0] > r.Deadline {
			l.calls[i] = l.calls[i][1:]
		}
		if n := len(l.calls[i]); n > 0 {
			w := l.classes[i]
			w.Count = n
			waiting = append(waiting, w)
		}
	}
	if len(waiting) == 0 {
		return
	}
	r.result.Pulls++
	grant, err := l.scheduler.Pull(context.Background(), r.clock.Now(), ratelimit.Ask{Budget: r.Budget, Waiting: waiting})
	if err != nil {
		return
	}
	for _, class := range grant.Classes {
		i := slices.IndexFunc(l.classes, func(w ratelimit.Waiting) bool { return w.Class == class })
		r.result.Total++
		r.result.Served[class.Caller]++
		r.result.Waits[class.Caller] = append(r.result.Waits[class.Caller], at-l.calls[i][0])
		l.calls[i] = l.calls[i][1:]
		r.at(at+fastest+time.Duration(r.random.Int64N(int64(slowest-fastest))), func(at time.Duration) { r.deliver(l, at) })
	}
	if grant.Again >= 0 {
		turn, late := l.poll, time.Duration(math.Abs(r.random.NormFloat64())*float64(time.Millisecond))
		r.at(at+grant.Again+late, func(at time.Duration) {
			if turn == l.poll {
				r.pull(l, at)
			}
		})
	}
}

// accept is the server's decision.
func (r *run) accept(at time.Duration) bool {
	r.level = min(r.Server.Burst, r.level+r.Server.Rate*(at-r.filled).Seconds())
	r.filled = at
	if r.level < 1 {
		return false
	}
	r.level--
	return true
}

// deliver is a request of ours at the server; its answer takes 50 ms.
func (r *run) deliver(l *lane, at time.Duration) {
	accepted := r.accept(at)
	if accepted {
		r.result.Second[int(at.Seconds())]++
	} else {
		r.result.Refused[int(at.Seconds())]++
	}
	r.at(at+50*time.Millisecond, func(time.Duration) {
		if accepted {
			l.scheduler.Succeed(context.Background(), r.clock.Now(), r.Budget)
			return
		}
		r.result.Stops++
		l.scheduler.Stop(context.Background(), r.clock.Now(), r.Budget, time.Second)
	})
}

// outside is a request of the other application.
func (r *run) outside(at time.Duration) {
	r.at(at, func(at time.Duration) {
		if at > r.To {
			return
		}
		if !r.accept(at) {
			r.result.Others++
		}
		wait := 1 / r.Outside
		if r.Random {
			wait *= r.random.ExpFloat64()
		}
		r.outside(at + seconds0(wait))
	})
}
