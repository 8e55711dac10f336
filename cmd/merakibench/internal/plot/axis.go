package plot

import (
	"math"
	"strconv"
)

// An axis maps values to pixels.
type axis struct {
	low, high float64
	from, to  float64 // pixels
	log       bool
	whole     bool // ticks stand at whole numbers
}

// at is where a value stands.
func (a axis) at(v float64) float64 {
	low, high := a.low, a.high
	if a.log {
		low, high, v = math.Log10(low), math.Log10(high), math.Log10(max(v, low))
	}
	if high == low {
		return a.from
	}
	return a.from + (v-low)/(high-low)*(a.to-a.from)
}

// ticks are about n round values within the axis; powers of ten on a logarithmic one.
func (a axis) ticks(n int) []float64 {
	var out []float64
	if a.log {
		for v := a.low; v <= a.high*1.001; v *= 10 {
			out = append(out, v)
		}
		return out
	}
	step := Step((a.high - a.low) / float64(n))
	if a.whole {
		step = max(1, step)
	}
	if !(step > 0) {
		return []float64{a.low}
	}
	for i := math.Ceil(a.low/step - 1e-9); i*step <= a.high+step*1e-9; i++ {
		out = append(out, i*step)
	}
	return out
}

// Step gives the smallest of 1, 2, 5, 10, ... that is not below v.
func Step(v float64) float64 {
	if !(v > 0) || math.IsInf(v, 0) {
		return 0
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range [...]float64{1, 2, 5} {
		if m*power >= v*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}

// number writes a tick: short, without noise from binary fractions.
func number(v float64) string {
	switch {
	case v == 0:
		return "0"
	case math.Abs(v) >= 1e6:
		return strconv.FormatFloat(v/1e6, 'g', 4, 64) + "M"
	case math.Abs(v) >= 1e4:
		return strconv.FormatFloat(v/1e3, 'g', 4, 64) + "k"
	}
	return strconv.FormatFloat(v, 'g', 6, 64)
}
