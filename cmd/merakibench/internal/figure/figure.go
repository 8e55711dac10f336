// Package figure is the arithmetic of the benchmarks: what a figure is, which aim
// it has and whether it is met, percentiles, rates in windows. It measures
// nothing and knows no clock.
package figure

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// An Aim is what a figure is held against. The zero Aim is none: the figure is
// there to be compared.
type Aim struct {
	bound float64
	is    string // ">=", "<=" or empty
}

// AtLeast and AtMost are the aims that there are; none is the zero Aim.
func AtLeast(bound float64) Aim { return Aim{bound, ">="} }

// AtMost is the aim of what should be small.
func AtMost(bound float64) Aim { return Aim{bound, "<="} }

// Set tells whether there is an aim.
func (a Aim) Set() bool { return a.is != "" }

// Met tells whether a value meets the aim. One that is not a number does not.
func (a Aim) Met(value float64) bool {
	switch a.is {
	case ">=":
		return value >= a.bound
	case "<=":
		return value <= a.bound
	}
	return true
}

// A Unit says how a value is written.
type Unit string

// The units.
const (
	Count   Unit = ""
	Share   Unit = "share" // 0 to 1, written in percent
	Seconds Unit = "s"
	Millis  Unit = "ms"
	Micros  Unit = "µs"
	Nanos   Unit = "ns"
	Rate    Unit = "/s"
	Bytes   Unit = "B"
	// Megabytes are a million bytes each, as the tools of the system count.
	Megabytes Unit = "MB"
	Ratio     Unit = "x"
)

// A Figure is one result of a scenario.
type Figure struct {
	Scenario string
	Metric   string
	Value    float64
	Unit     Unit
	Aim      Aim
}

// Met tells whether the figure meets its aim, if it has one.
func (f Figure) Met() bool { return f.Aim.Met(f.Value) }

// Text is the value with its unit.
func (f Figure) Text() string { return f.Unit.text(f.Value, f.Aim.Set() && !f.Met()) }

// AimText is the aim with the unit; empty where there is none.
func (f Figure) AimText() string {
	switch f.Aim.is {
	case ">=":
		return "at least " + f.Unit.text(f.Aim.bound, false)
	case "<=":
		if f.Aim.bound == 0 {
			return "0"
		}
		return "at most " + f.Unit.text(f.Aim.bound, false)
	}
	return ""
}

// text writes a value. One that misses its aim is written with a digit more, so
// that it does not look as if it met it.
func (u Unit) text(v float64, fine bool) string {
	if math.IsNaN(v) {
		return "none"
	}
	digits := 3
	if fine {
		digits = 5
	}
	switch u {
	case Share:
		d := 2
		if fine {
			d = 4
		}
		return strings.TrimSuffix(trim(strconv.FormatFloat(v*100, 'f', d, 64)), ".") + " %"
	case Rate:
		return round(v, digits) + "/s"
	case Ratio:
		return round(v, digits) + "x"
	case Count:
		return round(v, max(digits, 4))
	}
	return round(v, digits) + " " + string(u)
}

// round keeps so many digits, and all before the point.
func round(v float64, digits int) string {
	if v == 0 {
		return "0"
	}
	whole := int(math.Floor(math.Log10(math.Abs(v)))) + 1
	return trim(strconv.FormatFloat(v, 'f', max(0, digits-max(whole, 0)), 64))
}

// trim takes zeros off the end of a fraction.
func trim(s string) string {
	if !strings.Contains(s, ".") {
		return s
	}
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// MarshalJSON writes the line that -json prints. A value that is not a number is null.
func (f Figure) MarshalJSON() ([]byte, error) {
	line := struct {
		Scenario string   `json:"scenario"`
		Metric   string   `json:"metric"`
		Value    *float64 `json:"value"`
		Unit     Unit     `json:"unit"`
		Aim      string   `json:"aim,omitempty"`
		Met      *bool    `json:"met,omitempty"`
	}{Scenario: f.Scenario, Metric: f.Metric, Unit: f.Unit}
	if !math.IsNaN(f.Value) && !math.IsInf(f.Value, 0) {
		line.Value = &f.Value
	}
	if f.Aim.Set() {
		line.Aim = f.Aim.is + " " + strconv.FormatFloat(f.Aim.bound, 'g', -1, 64)
		met := f.Met()
		line.Met = &met
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false) // an aim has > in it, and is to be read
	err := e.Encode(line)
	return bytes.TrimSpace(out.Bytes()), err
}

// Of writes a duration as a value of the unit; in seconds where it is none of time.
func (u Unit) Of(d time.Duration) float64 {
	switch u {
	case Millis:
		return d.Seconds() * 1e3
	case Nanos:
		return float64(d)
	}
	return d.Seconds()
}
