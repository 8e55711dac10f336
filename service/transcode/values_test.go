package transcode

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

// TestTimes holds parsing and writing against package time, over the whole range.
func TestTimes(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	check := func(seconds int64, nanos int32) {
		t.Helper()
		text := appendTime(nil, seconds, nanos)
		at, err := time.Parse(time.RFC3339Nano, string(text))
		if err != nil || at.Unix() != seconds || at.Nanosecond() != int(nanos) {
			t.Fatalf("%d.%09d is written as %s", seconds, nanos, text)
		}
		s, n, ok := parseTime(text)
		if s != seconds || n != nanos || !ok {
			t.Fatalf("%s is read as %d.%09d", text, s, n)
		}
	}
	for range 20_000 {
		nanos := int32(random.IntN(1e9))
		check(minSeconds+random.Int64N(maxSeconds-minSeconds+1), nanos)
		check(random.Int64N(4e9), nanos/1e6*1e6)
	}
	for _, seconds := range []int64{minSeconds, maxSeconds, 0, -1, 1, 951782400, 951868799, 951868800, 4107542399, 4107542400} {
		check(seconds, 0)
		check(seconds, 1000)
	}
	for day := int64(minSeconds / 86400); day < minSeconds/86400+146097+366; day += 1 {
		check(day*86400, 0)
	}
}

// TestDoubles: what is written reads back as the same double, and short numbers
// are read as strconv reads them.
func TestDoubles(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for range 50_000 {
		f := math.Float64frombits(random.Uint64())
		if math.IsNaN(f) || math.IsInf(f, 0) {
			continue
		}
		text := appendDouble(nil, f)
		if back, err := strconv.ParseFloat(string(text), 64); err != nil || back != f || !isNumber(text) {
			t.Fatalf("%v is written as %s", f, text)
		}
		short := strconv.AppendFloat(nil, math.Trunc(random.Float64()*1e10)/1e5, 'f', random.IntN(9), 64)
		want, _ := strconv.ParseFloat(string(short), 64)
		if got, how := toDouble(short); got != want || how != asIs {
			t.Fatalf("%s is read as %v", short, got)
		}
	}
	for text, want := range map[string]string{"1": "1", "-0": "-0", "1e2": "100", "1e20": "100000000000000000000", "1e21": "1e+21", "0.1": "0.1", "1e-6": "0.000001", "1e-7": "1e-07", "1152921504606846976": "1152921504606846976"} {
		f, _ := toDouble([]byte(text))
		if got := appendDouble(nil, f); string(got) != want {
			t.Errorf("%s is written as %s, want %s", text, got, want)
		}
	}
}
