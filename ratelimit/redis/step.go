package redis

import (
	"context"
	_ "embed" // for the script
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// The script is in two files: the state of a budget with its bucket, and the queue
// with the step.
var (
	//go:embed bucket.lua
	bucketSource string
	//go:embed queue.lua
	queueSource string
)

// errNonsense stands for an answer that the script cannot have given. A store that
// gives one is not to be relied on, whatever the reason.
var errNonsense = errors.New("the store's answer makes no sense")

// A result is the answer to a step.
type result struct {
	again        time.Duration
	rate, tokens float64
	stopped      time.Duration
	at           int64 // by the store's clock, in microseconds
	turn         int64 // the number of the last slot
	slots        []int // indices into the classes of the ask
	// virtual and finish are the virtual time and the virtual finish of each
	// class's caller, where more classes wait than were told.
	virtual float64
	finish  []float64
}

// header is how many numbers an answer has before its slots.
const header = 7

// step runs the script for the budget held under a key, within the timeout.
func (s *Store) step(ctx context.Context, key string, b ratelimit.Budget, r feedback, op string, rest ...any) (result, error) {
	// A step that is under way is not given up because the caller has left: what
	// it takes would be lost, and it is over in no time.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.Timeout)
	defer cancel()
	n := s.config.Replicas
	args := append(make([]any, 0, 12+len(rest)),
		s.clock(), s.id, number(b.Rate), number(kept(b, n).Burst),
		microseconds(r.sinceGrant), flag(r.back), r.alone, number(b.Rate*r.part), number(spare(b.Burst, n)),
		r.successes, refundList(r.refunds), op)
	args = append(args, rest...)
	s.steps.Add(1)
	reply, err := s.script.Run(ctx, s.client, []string{key}, args...).Result()
	if err != nil {
		return result{}, err
	}
	return decode(reply)
}

// decode reads an answer, and believes nothing.
func decode(reply any) (result, error) {
	list, ok := reply.([]any)
	if !ok || len(list) < header {
		return result{}, fmt.Errorf("%w: not a list of %d numbers or more", errNonsense, header)
	}
	numbers := make([]int64, len(list))
	for i, x := range list {
		if numbers[i], ok = x.(int64); !ok {
			return result{}, fmt.Errorf("%w: number %d is none", errNonsense, i)
		}
	}
	const most = int64(24 * time.Hour / time.Microsecond)
	if again, stopped := numbers[0], numbers[3]; again < -1 || again > 2*most || numbers[1] < 0 || stopped < 0 || stopped > most {
		return result{}, fmt.Errorf("%w: again %d, rate %d, stopped %d", errNonsense, again, numbers[1], stopped)
	}
	a := result{
		again:   time.Duration(numbers[0]) * time.Microsecond,
		rate:    float64(numbers[1]) / 1e6,
		tokens:  float64(numbers[2]) / 1e6,
		stopped: time.Duration(numbers[3]) * time.Microsecond,
		at:      numbers[4],
		turn:    numbers[6],
	}
	rest := numbers[header:]
	slots := numbers[5]
	if slots < 0 || slots > int64(len(rest)) {
		return result{}, fmt.Errorf("%w: %d slots in %d numbers", errNonsense, slots, len(list))
	}
	if queue := rest[slots:]; len(queue) > 0 {
		a.virtual = float64(queue[0]) / 1e6
		for _, finish := range queue[1:] {
			a.finish = append(a.finish, float64(finish)/1e6)
		}
	}
	for _, i := range rest[:slots] {
		if i < 1 || i > int64(len(list))+1<<20 {
			return result{}, fmt.Errorf("%w: class %d", errNonsense, i)
		}
		a.slots = append(a.slots, int(i-1))
	}
	return a, nil
}

// classes are those of the slots, if the slots can be an answer to the ask.
func (a result) classes(ask ratelimit.Ask) ([]ratelimit.Class, error) {
	if ask.Most > 0 && len(a.slots) > ask.Most {
		return nil, fmt.Errorf("%w: %d slots, asked for %d", errNonsense, len(a.slots), ask.Most)
	}
	if len(a.finish) > 0 && len(a.finish) != len(ask.Waiting) {
		return nil, fmt.Errorf("%w: the finish of %d classes, asked for %d", errNonsense, len(a.finish), len(ask.Waiting))
	}
	if len(a.slots) == 0 {
		return nil, nil
	}
	left := make([]int, len(ask.Waiting))
	for i, w := range ask.Waiting {
		left[i] = w.Count
	}
	classes := make([]ratelimit.Class, len(a.slots))
	for i, class := range a.slots {
		if class >= len(left) || left[class] == 0 {
			return nil, fmt.Errorf("%w: a slot for class %d, where nothing waits", errNonsense, class)
		}
		left[class]--
		classes[i] = ask.Waiting[class].Class
	}
	return classes, nil
}

// state is the answer's part of a State.
func (a result) state(now time.Time, b ratelimit.Budget, replicas int) ratelimit.State {
	s := ratelimit.State{
		Rate: a.rate, Ceiling: b.Rate, Burst: b.Burst, Tokens: max(0, a.tokens),
		Replicas: replicas, Shared: true,
	}
	if a.stopped > 0 {
		s.StoppedUntil, s.Tokens = now.Add(a.stopped), 0
	}
	return s
}

// key is where the store holds a budget: the part in braces decides on the node
// of a cluster.
func (s *Store) key(budget string) string {
	return s.config.Prefix + ":{" + budget + "}"
}

// clock is the script's first argument.
func (s *Store) clock() string {
	if s.config.clock == nil {
		return ""
	}
	return strconv.FormatInt(s.config.clock().UnixMicro(), 10)
}

// refundList writes the refunds as the script reads them.
func refundList(refunds []grant) string {
	if len(refunds) == 0 {
		return ""
	}
	var text []byte
	for _, r := range refunds {
		text = strconv.AppendInt(text, r.at, 10)
		text = append(text, ':')
		text = strconv.AppendInt(text, int64(r.slots), 10)
		text = append(text, ' ')
	}
	return string(text)
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }

func microseconds(d time.Duration) int64 {
	if d < 0 {
		return -1
	}
	return d.Microseconds()
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}
