package ratelimit_test

import (
	"testing"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/ratelimit/ratelimittest"
)

func TestLocal(t *testing.T) {
	t.Parallel()
	ratelimittest.Run(t, 1, func(*testing.T, *ratelimittest.Clock, int) []ratelimit.Scheduler {
		return []ratelimit.Scheduler{ratelimit.NewLocal()}
	})
}
