package dashboard

import (
	"math"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	const date = "Sat, 01 Aug 2026 12:00:00 GMT" // epoch
	for _, c := range []struct {
		name, value, date string
		want              time.Duration
		ok                bool
	}{
		{"missing", "", "", 0, false},
		{"white space", "  ", "", 0, false},
		{"seconds", "2", "", 2 * time.Second, true},
		{"seconds with space", " 2 ", "", 2 * time.Second, true},
		{"zero", "0", "", 0, true},
		{"a fraction", "1.5", "", 1500 * time.Millisecond, true},
		{"a day", "86400", "", 24 * time.Hour, true},
		{"absurd", "99999999999999999999", "", math.MaxInt64, true},
		{"absurdly long", strings.Repeat("9", 1000), "", 0, false},
		{"negative", "-5", "", 0, false},
		{"a sign", "+5", "", 0, false},
		{"two dots", "1.2.3", "", 0, false},
		{"hexadecimal", "0x10", "", 0, false},
		{"an exponent", "1e3", "", 0, false},
		{"words", "soon", "", 0, false},
		{"a date, by now", "Sat, 01 Aug 2026 12:00:30 GMT", "", 30 * time.Second, true},
		{"a date, by Date", "Sat, 01 Aug 2026 13:00:30 GMT", "Sat, 01 Aug 2026 13:00:00 GMT", 30 * time.Second, true},
		{"a date, by a Date that cannot be read", "Sat, 01 Aug 2026 12:00:30 GMT", "today", 30 * time.Second, true},
		{"a date of the old form", "Saturday, 01-Aug-26 12:00:30 GMT", date, 30 * time.Second, true},
		{"a past date", "Sat, 01 Aug 2026 11:00:00 GMT", date, 0, true},
		{"an absurd date", "Fri, 31 Dec 9999 23:59:59 GMT", date, math.MaxInt64, true},
	} {
		h := http.Header{}
		h.Set("Retry-After", c.value)
		if c.date != "" {
			h.Set("Date", c.date)
		}
		if d, ok := retryAfter(h, epoch); d != c.want || ok != c.ok {
			t.Errorf("%s: %v, %t; want %v, %t", c.name, d, ok, c.want, c.ok)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "0", "1", "1.5", "-1", "99999999999999999999", "Sat, 01 Aug 2026 12:00:30 GMT"} {
		f.Add(s, "")
		f.Add(s, "Sat, 01 Aug 2026 12:00:00 GMT")
	}
	f.Fuzz(func(t *testing.T, value, date string) {
		d, ok := retryAfter(http.Header{"Retry-After": {value}, "Date": {date}}, epoch)
		if d < 0 || !ok && d != 0 {
			t.Fatalf("%q by %q: %v, %t", value, date, d, ok)
		}
	})
}
