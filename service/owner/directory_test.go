package owner

import (
	"reflect"
	"testing"
	"time"
)

// judged is a moment at which answers come.
var judged = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)

type ignored struct{}

func (ignored) LookedUp(string, string) {}

// directory is an empty one of ten entries.
func directory(missAge time.Duration) *Directory {
	o, err := New(Config{Size: 10, Age: time.Hour, MissAge: missAge, Observer: ignored{}})
	if err != nil {
		panic(err)
	}
	return o
}

func TestNews(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		operation, body, organization string
		want                          []Fact
	}{
		{"getNetwork", `{"id":"N_1","organizationId":"7","tags":["a\"id\":\"N_9\""],"productTypes":[]}`, "", []Fact{{Network: "N_1", Organization: "7"}}},
		{"getOrganizationNetworks", `[{"id": "N_1", "productTypes": ["x"]},{"id":"N_2","organizationId":"8"}]`, "7",
			[]Fact{{Network: "N_1", Organization: "7"}, {Network: "N_2", Organization: "8"}}},
		{"combineOrganizationNetworks", `{"resultingNetwork":{"id":"N_3","organizationId":"7"}}`, "7", []Fact{{Network: "N_3", Organization: "7"}}},
		{"getDevice", `{"serial":"Q1","networkId":"N_1","details":[{"name":"Catalyst serial","value":"x"}]}`, "", []Fact{{Serial: "Q1", Network: "N_1"}}},
		{"getDevice", `{"serial":"Q1","networkId":null}`, "", []Fact{{Serial: "Q1"}}},
		{"getOrganizationDevicesAvailabilities", `[{"serial":"Q1","network":{"id":"N_1"}}]`, "7", []Fact{{Serial: "Q1", Network: "N_1", Organization: "7"}}},
		{"getOrganizationInventoryDevices", `{"items":[{"serial":"Q1"},{"serial":"Q2","networkId":"N_1"}],"meta":{}}`, "7",
			[]Fact{{Serial: "Q1", Organization: "7"}, {Serial: "Q2", Network: "N_1", Organization: "7"}}},
		{"getNetworkClients", `[{"id":"k1","networkId":"N_1"}]`, "7", nil},
		{"getNetwork", `{"id":"N_1`, "", nil},
		{"getNetwork", `}}}`, "", nil},
		{"getNetwork", ``, "", nil},
	} {
		if got := directory(time.Minute).Facts(judged, c.operation, []byte(c.body), c.organization); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %s: %+v, want %+v", c.operation, c.body, got, c.want)
		}
	}
}

func FuzzNews(f *testing.F) {
	f.Add([]byte(`{"id":"N_1","organizationId":"7"}`))
	f.Add([]byte(`[{"serial":"Q1","network":{"id":"N_1"}},{"a":[[{}]]}]`))
	f.Add([]byte(`{"\\":"\"`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if n := len(directory(time.Minute).Facts(judged, "getOrganizationNetworks", body, "1")); n > len(body) {
			t.Errorf("%d facts in %d bytes", n, len(body))
		}
		directory(time.Minute).Facts(judged, "getDevice", body, "")
	})
}

// TestWhatIsKnownIsNoNews: an answer that says what another has just said is read,
// and nothing is kept of it. What says otherwise, or was said a while ago, is news.
func TestWhatIsKnownIsNoNews(t *testing.T) {
	t.Parallel()
	o := directory(30 * time.Second)
	page := `[{"serial":"Q1","networkId":"N_1"},{"serial":"Q2"}]`
	news := func(after time.Duration, body, organization string) int {
		return len(o.Facts(judged.Add(after), "getOrganizationDevices", []byte(body), organization))
	}
	learn := func(after time.Duration) {
		o.Learn(judged.Add(after), o.Facts(judged.Add(after), "getOrganizationDevices", []byte(page), "7"))
	}
	check := func(what string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d facts, want %d", what, got, want)
		}
	}
	check("first", news(0, page, "7"), 2)
	learn(0)
	check("again", news(15*time.Second, page, "7"), 0)
	check("of another organization", news(0, page, "8"), 2)
	check("moved", news(0, `[{"serial":"Q1","networkId":"N_2"},{"serial":"Q2","networkId":"N_1"}]`, "7"), 2)
	check("taken out", news(0, `[{"serial":"Q1"}]`, "7"), 1)
	check("a while ago", news(16*time.Second, page, "7"), 2)
	learn(16 * time.Second)
	_, done := o.wait(judged, "Q9")
	check("somebody waits", news(16*time.Second, page, "7"), 2)
	done()
	check("nobody waits", news(16*time.Second, page, "7"), 0)
	o.Owe("N_9", 1)
	check("a debt", news(16*time.Second, page, "7"), 2)
	o.forget(judged, "N_1", true)
	o.Learn(judged.Add(16*time.Second), []Fact{{Network: "N_9", Organization: "7"}})
	check("forgotten", news(16*time.Second, page, "7"), 1)
}
