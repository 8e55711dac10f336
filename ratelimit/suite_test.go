package ratelimit_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/ratelimit/ratelimittest"
)

// A lane is one of several in a process, which stand in for replicas.
type lane struct {
	*ratelimit.Local
	from string
}

func (l lane) Pull(ctx context.Context, now time.Time, ask ratelimit.Ask) (ratelimit.Grant, error) {
	ask.From = l.from
	return l.Local.Pull(ctx, now, ask)
}

func TestLocal(t *testing.T) {
	t.Parallel()
	ratelimittest.Run(t, func(_ *testing.T, _ *ratelimittest.Clock, replicas int) []ratelimit.Scheduler {
		local := ratelimit.NewLocal(ratelimit.LocalConfig{})
		lanes := make([]ratelimit.Scheduler, replicas)
		for i := range lanes {
			lanes[i] = lane{local, strconv.Itoa(i)}
		}
		return lanes
	})
}
