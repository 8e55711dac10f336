package figure

import (
	"encoding/json"
	"math"
	"testing"
	"time"
)

func TestAims(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		f              Figure
		met            bool
		text, aim, tip string
	}{
		{Figure{Value: 0.99, Unit: Share, Aim: AtLeast(0.99)}, true, "99 %", "at least 99 %", ">= 0.99"},
		{Figure{Value: 0.98996, Unit: Share, Aim: AtLeast(0.99)}, false, "98.996 %", "at least 99 %", ">= 0.99"},
		{Figure{Value: 0, Aim: AtMost(0)}, true, "0", "0", "<= 0"},
		{Figure{Value: 1, Aim: AtMost(0)}, false, "1", "0", "<= 0"},
		{Figure{Value: 1.2004, Unit: Seconds, Aim: AtMost(1.2)}, false, "1.2004 s", "at most 1.2 s", "<= 1.2"},
		{Figure{Value: math.NaN(), Unit: Share, Aim: AtLeast(0.5)}, false, "none", "at least 50 %", ">= 0.5"},
		{Figure{Value: math.NaN(), Aim: AtMost(3)}, false, "none", "at most 3", "<= 3"},
		{Figure{Value: 4.7654, Unit: Rate}, true, "4.77/s", "", ""},
		{Figure{Value: 2351, Unit: Count}, true, "2351", "", ""},
		{Figure{Value: 123456, Unit: Bytes}, true, "123456 B", "", ""},
		{Figure{Value: 0.0456, Unit: Millis}, true, "0.046 ms", "", ""},
		{Figure{Value: -0.404, Unit: Millis}, true, "-0.404 ms", "", ""},
		{Figure{Value: 1.5, Unit: Ratio}, true, "1.5x", "", ""},
	} {
		if got := row.f.Met(); got != row.met {
			t.Errorf("%+v: met is %v", row.f, got)
		}
		if got := row.f.Text(); got != row.text {
			t.Errorf("%+v is written %q, want %q", row.f, got, row.text)
		}
		if got := row.f.AimText(); got != row.aim {
			t.Errorf("%+v has the aim %q, want %q", row.f, got, row.aim)
		}
		var line struct {
			Value *float64
			Aim   string
			Met   *bool
		}
		raw, err := json.Marshal(row.f)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, &line); err != nil {
			t.Fatal(err)
		}
		if line.Aim != row.tip || (line.Met != nil) != (row.tip != "") || line.Met != nil && *line.Met != row.met {
			t.Errorf("%+v is %s", row.f, raw)
		}
		if (line.Value == nil) != math.IsNaN(row.f.Value) {
			t.Errorf("%+v is %s", row.f, raw)
		}
	}
}

func TestPercentiles(t *testing.T) {
	t.Parallel()
	hundred := make(Sample, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	for _, row := range []struct {
		s       Sample
		p, want float64
	}{
		{hundred, 50, 50}, {hundred, 99, 99}, {hundred, 99.1, 100}, {hundred, 100, 100}, {hundred, 0, 1}, {hundred, 1, 1},
		{Sample{7}, 50, 7}, {Sample{7}, 99, 7}, {Sample{1, 2}, 50, 1}, {Sample{3, 1, 2}, 50, 2},
	} {
		if got := row.s.Percentile(row.p); got != row.want {
			t.Errorf("percentile %v of %d values: %v, want %v", row.p, len(row.s), got, row.want)
		}
	}
	if got := (Sample{}).Percentile(50); !math.IsNaN(got) {
		t.Errorf("of nothing: %v", got)
	}
	if hundred[0] != 100 {
		t.Error("the sample was changed")
	}
	if got := Per(1, 0); !math.IsNaN(got) {
		t.Errorf("a part of nothing is %v", got)
	}
}

// at gives instants, in seconds after a start.
func at(start time.Time, seconds ...float64) []time.Time {
	var out []time.Time
	for _, s := range seconds {
		out = append(out, start.Add(time.Duration(s*float64(time.Second))))
	}
	return out
}

func TestWindows(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	second := func(s float64) time.Time { return at(start, s)[0] }
	steady := []float64{}
	for i := range 100 {
		steady = append(steady, float64(i)*0.1)
	}
	if got := Used(at(start, steady...), second(2), second(8), 10); got != 1 {
		t.Errorf("a steady 10/s uses %v of 10/s", got)
	}
	if got := Within(at(start, 1, 2, 3), second(1), second(3)); got != 2 {
		t.Errorf("[1,3) holds %d of 1, 2, 3", got)
	}
	x, y := Rates(at(start, 0.5, 1.5, 1.6, 3.5), start, 4*time.Second, time.Second, time.Second)
	wantX, wantY := []float64{0.5, 1.5, 2.5, 3.5}, []float64{1, 2, 0, 1}
	for i := range wantX {
		if len(x) != 4 || x[i] != wantX[i] || y[i] != wantY[i] {
			t.Fatalf("rates are %v at %v, want %v at %v", y, x, wantY, wantX)
		}
	}
	_, y = Rates(at(start, 3.5, 0.5, 1.6, 1.5), start, 4*time.Second, 2*time.Second, time.Second)
	if len(y) != 3 || y[0] != 1.5 || y[1] != 1 || y[2] != 0.5 {
		t.Errorf("over windows that overlap, out of order: %v", y)
	}
	// 5 s of 10/s, then 6/s.
	var falls []float64
	for i := range 50 {
		falls = append(falls, float64(i)*0.1)
	}
	for i := range 60 {
		falls = append(falls, 5+float64(i)/6)
	}
	// A moment at which the mean happens to be right, on the way down, is not it.
	for _, row := range []struct {
		window, holds time.Duration
		low, high     float64
		from, to      float64
	}{
		{2 * time.Second, 5 * time.Second, 5.1, 6.9, 4.2, 5.2},
		{2 * time.Second, 5 * time.Second, 9.4, 10.6, 0, 0},
		{5 * time.Second, 5 * time.Second, 9.9, 11, 0, 0},
		{2 * time.Second, 5 * time.Second, 1, 2, math.NaN(), 0},
		{2 * time.Second, 9 * time.Second, 9.4, 10.6, math.NaN(), 0},
	} {
		got := Settled(at(start, falls...), start, 15*time.Second, row.window, row.holds, row.low, row.high)
		if math.IsNaN(row.from) != math.IsNaN(got) || got < row.from || got > row.to {
			t.Errorf("%+v: settles after %v", row, got)
		}
	}
}

func TestOverdraft(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	for _, row := range []struct {
		at   []float64
		want float64
	}{
		{[]float64{0}, -1},
		{[]float64{0, 0, 0}, 1},
		{[]float64{0, 0, 1, 2, 3}, 0},
		{[]float64{0, 0, 0.5, 0.5}, 1.5},
		{[]float64{0, 100, 100, 100}, 1}, // nothing is saved up beyond the burst
		{[]float64{3, 2, 1, 0, 0}, 0},
	} {
		if got := Overdraft(at(start, row.at...), 1, 2); math.Abs(got-row.want) > 1e-9 {
			t.Errorf("%v against 1/s + 2: %v, want %v", row.at, got, row.want)
		}
	}
}

func TestUnitsOfTime(t *testing.T) {
	t.Parallel()
	for unit, want := range map[Unit]float64{Seconds: 0.0015, Millis: 1.5, Nanos: 1.5e6, Count: 0.0015} {
		if got := unit.Of(1500 * time.Microsecond); got != want {
			t.Errorf("1.5 ms in %q: %v", unit, got)
		}
	}
}
