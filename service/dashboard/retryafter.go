package dashboard

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// retryAfter reads a Retry-After header: seconds, or a date, which is taken
// relative to the Dashboard's own Date and to now only without one, because
// clocks differ. A past date is a delay of 0. The delay is as absurd as the
// header; whoever waits caps it. ok is false when there is no header that can be
// read, a negative number among them.
func retryAfter(h http.Header, now time.Time) (d time.Duration, ok bool) {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if value == "" || len(value) > 64 {
		return 0, false
	}
	if c := value[0]; '0' <= c && c <= '9' {
		return seconds(value)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return max(at.Sub(now), 0), true
}

// seconds reads a number of seconds; some proxies send fractions, which the RFC
// does not know.
func seconds(value string) (time.Duration, bool) {
	for i := range len(value) {
		if c := value[i]; (c < '0' || c > '9') && c != '.' {
			return 0, false
		}
	}
	s, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return 0, false
	}
	if s >= math.MaxInt64/float64(time.Second) {
		return math.MaxInt64, true
	}
	return time.Duration(math.Ceil(s*1000)) * time.Millisecond, true
}
