package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

const (
	// beat is how often a replica says that it is there.
	heartbeat = 3 * time.Second
	// presence is how long it is believed.
	presence = 10 * time.Second
	// settling is how long a replica hears of others until it has heard of all that are
	// there for as long: each has said so twice.
	settling = 2 * heartbeat
)

// A hearing is how many replicas there were at one moment.
type hearing struct {
	at      time.Time
	members int
}

// heartbeatSource notes a replica and tells how many there are.
//
// ARGV: 1 the replica, 2 how long it is believed, in milliseconds
const heartbeatSource = `
local time = redis.call('TIME')
local now = time[1] * 1e3 + math.floor(time[2] / 1e3)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
redis.call('PEXPIRE', KEYS[1], tonumber(ARGV[2]) * 2)
return redis.call('ZCARD', KEYS[1])
`

// membersKey is a budget's key that no budget has.
func (s *Store) membersKey() string { return s.config.Prefix + "-replicas" }

// announce says that this replica is there, and learns how many are.
func (s *Store) announce(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	n, err := s.heartbeat.Run(ctx, s.client, []string{s.membersKey()}, s.id, presence.Milliseconds()).Int()
	if err != nil {
		return err
	}
	if n < 1 || n > 1<<16 {
		return fmt.Errorf("%w: %d replicas", errNonsense, n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.wall()
	if s.heard.IsZero() || now.Sub(s.heard) >= presence {
		s.since = now
	}
	s.hearings = append(slices.DeleteFunc(s.hearings, func(h hearing) bool { return now.Sub(h.at) >= presence }), hearing{now, n})
	s.members, s.heard = n, now
	return nil
}

// membership is how many replicas there were when that was last heard.
func (s *Store) membership() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.members
}

// peers is how many replicas to reckon with in an outage, and whether that is known. A
// store that has just lost who was there tells too few, and each replica another number, as
// they come back one after the other: so it is the most that was heard lately. One that has
// not heard for long enough may not have heard of others who have: it does not know.
func (s *Store) peers(now time.Time) (most int, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	most = s.members
	for _, h := range s.hearings {
		if now.Sub(h.at) < presence {
			most = max(most, h.members)
		}
	}
	return most, !s.heard.IsZero() && now.Sub(s.heard) < presence && now.Sub(s.since) >= settling
}

// probe finds out whether the store is well: for this replica's presence, and for
// the budget on which it failed, which may be on another node.
func (s *Store) probe(ctx context.Context, key string) error {
	if err := s.announce(ctx, s.config.Timeout); err != nil {
		return err
	}
	if key == "" {
		return nil
	}
	// A budget that nobody draws on: the step has to be well, not to say anything.
	b := ratelimit.Budget{Key: key, Rate: 1, Burst: 1}
	_, err := s.step(ctx, s.key(key)+"?", b, feedback{sinceGrant: -1}, "tell")
	return err
}

// watch says that this replica is there, and looks after the store while it is
// away, until the context ends.
func watch(ctx context.Context, b *breaker, every time.Duration, probe func(context.Context, string) error, gone func(error), back func()) {
	for tries := 0; ; {
		alone := b.alone()
		wait := every
		if alone != nil {
			wait = probeAfter(tries, alone.close)
			tries++
		} else {
			tries = 0
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-b.failed:
			timer.Stop()
			continue // an outage has begun: from now on probe
		case <-timer.C:
		}
		key := ""
		if alone != nil {
			key = alone.key
		}
		switch err := probe(ctx, key); {
		case errors.Is(err, context.Canceled):
			return
		case err != nil && alone == nil:
			gone(err)
		case err == nil && alone != nil:
			back()
		}
	}
}
