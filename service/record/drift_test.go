package record

import (
	"fmt"
	"testing"
	"time"
)

// TestDriftIsBounded: what is kept of the differences from the contract does not grow
// beyond maxDrift, and what is kept is still counted.
func TestDriftIsBounded(t *testing.T) {
	t.Parallel()
	l := NewDrifts()
	for i := range 2 * maxDrift {
		l.Add("getNetwork", fmt.Sprint("field", i), 1, time.Now())
		l.Add("getNetwork", "field0", 1, time.Now())
	}
	all := l.List("")
	if len(all) != maxDrift {
		t.Errorf("%d places are kept", len(all))
	}
	for _, d := range all {
		if d.Path == "field0" && d.Count != 2*maxDrift+1 {
			t.Errorf("the first is counted %d times", d.Count)
		}
	}
}
