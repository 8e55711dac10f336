package dashboard

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// maxGarbled bounds what is read for its words of a 2xx that is no JSON, in bytes.
const maxGarbled = 64 << 10

var errNotJSON = errors.New("a 2xx whose body is not JSON")

// A reading is what a status, a header and a body mean, without the network
// around them.
type reading struct {
	outcome       fault.Outcome
	messages      []string
	retryAfter    time.Duration
	hasRetryAfter bool
	requestID     string
	maybeExecuted bool
	err           error
}

// classify reads an answer. body is the whole body of a 2xx, or what was read of
// any other. now stands in for a missing Date. m replaces the attempt's own secret in
// what is taken from them.
//
// The vendor sends JSON under a wrong Content-Type and the other way round, so
// only the body itself is asked. A 2xx that carries errors is a success: some
// operations report what went partly wrong that way.
func classify(status int, header http.Header, body []byte, now time.Time, m *mask) reading {
	r := reading{
		outcome:       outcomeOf(status),
		requestID:     requestID(header.Get("X-Request-Id"), m),
		maybeExecuted: executable(status),
	}
	r.retryAfter, r.hasRetryAfter = retryAfter(header, now)
	if r.outcome != fault.OK {
		r.messages = messages(body, m)
		return r
	}
	if status != http.StatusNoContent && !looksLikeJSON(body) {
		r.outcome, r.err = fault.Garbled, errNotJSON
		// Reading it takes several times its size, and it may be as large as an answer.
		r.messages = messages(body[:min(len(body), maxGarbled)], m)
	}
	return r
}

// outcomeOf sorts a status. The vendor answers up to 501 itself; 502, 503 and
// 504 come from something in front of it, and so do the numbers above 511, which
// are of no standard.
func outcomeOf(status int) fault.Outcome {
	switch {
	case status < 200:
		return fault.Garbled
	case status < 300:
		return fault.OK
	case status < 400:
		return fault.Redirect
	case status == http.StatusTooManyRequests:
		return fault.Limited
	case status < 500:
		return fault.Refused
	case status == http.StatusBadGateway, status == http.StatusServiceUnavailable,
		status == http.StatusGatewayTimeout, status > http.StatusNetworkAuthenticationRequired:
		return fault.GatewayError
	}
	return fault.ServerError
}

// executable tells whether an answer of this status leaves it open that the
// request was executed. A refusal and a redirect do not. 408 comes from whoever
// lost patience, not always in front of the execution.
func executable(status int) bool {
	switch {
	case status == http.StatusRequestTimeout:
		return true
	case 300 <= status && status < 500, status == http.StatusNotImplemented:
		return false
	}
	return true
}

// looksLikeJSON tells JSON, or nothing at all, from everything else by its first
// and last byte: HTML, text, and most of what broke off unnoticed. The rest is
// found when the document is read. Only a bare value, which is short, is looked
// at whole.
func looksLikeJSON(body []byte) bool {
	b := bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	if len(b) == 0 {
		return true
	}
	switch b[0] {
	case '{':
		return len(b) > 1 && b[len(b)-1] == '}'
	case '[':
		return len(b) > 1 && b[len(b)-1] == ']'
	}
	return json.Valid(b)
}

// maxRequestID bounds X-Request-Id, in bytes; the vendor's are UUIDs.
const maxRequestID = 128

// requestID keeps an identifier to printable ASCII, bounded: it is shown in logs
// and sent in trailers.
func requestID(id string, m *mask) string {
	id = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return -1
		}
		return r
	}, m.text(id))
	id = m.text(id) // which may have had spaces inside
	return id[:min(len(id), maxRequestID)]
}

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
