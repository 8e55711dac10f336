package ratelimit

import (
	"fmt"
	"strings"
)

// A Priority orders classes: a slot goes to a lower number while one waits.
type Priority uint8

// The priorities.
const (
	// Critical calls go before all others: somebody waits for them now.
	Critical Priority = iota
	// Normal is the priority of a call that does not say.
	Normal
	// Bulk calls take what the others leave, and may wait for it.
	Bulk
)

var priorities = [...]string{Critical: "critical", Normal: "normal", Bulk: "bulk"}

// ParsePriority reads a priority's name in any case. An empty name is Normal.
func ParsePriority(name string) (Priority, bool) {
	if name == "" {
		return Normal, true
	}
	for p, text := range priorities {
		if strings.EqualFold(name, text) {
			return Priority(p), true
		}
	}
	return Normal, false
}

// String names the priority as ParsePriority reads it.
func (p Priority) String() string {
	if int(p) < len(priorities) {
		return priorities[p]
	}
	return fmt.Sprintf("priority %d", uint8(p))
}

// A Class is what calls are granted by: all waiting calls of one caller at one
// priority are alike to a Scheduler.
type Class struct {
	Priority Priority
	Caller   string
}

// Waiting is what waits of one class.
type Waiting struct {
	Class
	// Count of the calls that wait.
	Count int
	// Weight is the caller's share against the other callers of the budget:
	// with 3 it gets three slots where one with 1 gets one. 0 or less means 1.
	Weight float64
}

// heaviest is the largest weight that is counted with.
const heaviest = 1e6

// Share is the weight to count with.
func (w Waiting) Share() float64 {
	if w.Weight > 0 {
		return min(w.Weight, heaviest)
	}
	return 1
}
