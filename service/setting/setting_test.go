package setting

import (
	"errors"
	"fmt"
	"testing"
)

func TestKeysArePutTogether(t *testing.T) {
	t.Parallel()
	var below, all Errors
	below.Wrong("[0].name", "is required")
	below.Wrong("", "there is none of %q", "x")
	all.Add("policy", fmt.Errorf("in other words: %w", below.Err()))
	all.Add("store", errors.New("no such file"))
	all.Add("budget", Wrong("rate", "is too high"))
	all.Add("tls", nil)
	want := "policy[0].name: is required\npolicy: there is none of \"x\"\nstore: no such file\nbudget.rate: is too high"
	if got := all.Err().Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := (Errors{}).Err(); err != nil {
		t.Errorf("nothing is wrong, and is told as %v", err)
	}
	if err := Below("key", nil); err != nil {
		t.Errorf("nothing is wrong, and is told as %v", err)
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"budget", "store", "rate", "burst", "address_rate", "getOrganizations", "getOrganization", "tls"}
	for word, want := range map[string]string{
		"bugdet": "budget", "budgets": "budget", "Budget": "budget", "getOrganisations": "getOrganizations", "adress_rate": "address_rate",
		"tsl": "tls", "zebra": "", "x": "", "": "", "ratio": "",
	} {
		if got, ok := Nearest(word, known); got != want || ok != (want != "") {
			t.Errorf("%q is nearest to %q, want %q", word, got, want)
		}
	}
}
