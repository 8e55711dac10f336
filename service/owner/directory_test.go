package owner

import (
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
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

// TestOnlyTrueStatementsRenewAnOwner: rows that name no organization tell where a
// device is, and leave the age of its network's owner alone.
func TestOnlyTrueStatementsRenewAnOwner(t *testing.T) {
	t.Parallel()
	o := directory(30 * time.Second) // owners are believed for an hour
	q := Question{Kind: Device, ID: "Q1"}
	o.Learn(judged, o.Facts(judged, "getOrganizationDevices", []byte(`[{"serial":"Q1","networkId":"N_1"}]`), "7"))
	for i := range 12 {
		now := judged.Add(time.Duration(i) * 10 * time.Minute)
		want := "7"
		if i > 6 {
			want = ""
		}
		if got, _ := o.Owned(now, q); got != want {
			t.Errorf("after %d minutes the owner is %q, want %q", i*10, got, want)
		}
		for operation, body := range map[string]string{
			"getNetworkDevices": `[{"serial":"Q1","networkId":"N_1"}]`, "getDevice": `{"serial":"Q1","networkId":"N_1"}`,
			"getNetwork": `{"id":"N_1","productTypes":[]}`,
		} {
			o.Learn(now, o.Facts(now, operation, []byte(body), ""))
		}
	}
}

// TestWhatChangesHandsIsNotBelievedForLong: a move and a batch are executed after
// they are answered, and what is learned meanwhile is soon asked again.
func TestWhatChangesHandsIsNotBelievedForLong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ operation, id, body string }{
		"a move":            {"createNetworkMove", "7", `{"networkIds":["N_1"]}`},
		"a batch":           {"createOrganizationActionBatch", "7", `{"actions":[{"resource":"/networks/N_1/devices/remove","operation":"create","body":{"serial":"Q1"}}]}`},
		"a batch, by verb":  {"createOrganizationActionBatch", "7", `{"actions":[{"resource":"/networks/N_1/devices","operation":"claim","body":{"serials":["Q1"]}}]}`},
		"a batch of deaths": {"createOrganizationActionBatch", "7", `{"actions":[{"resource":"/networks/N_1","operation":"destroy"}]}`},
	} {
		o := directory(30 * time.Second)
		q := Question{Kind: Network, ID: "N_1"}
		o.Learn(judged, []Fact{{Network: "N_1", Organization: "7"}})
		o.Changed(judged, c.operation, c.id, []byte(c.body))
		if got, _ := o.Owned(judged, q); got != "" {
			t.Errorf("%s: the owner is still %q", name, got)
		}
		o.Learn(judged.Add(time.Second), []Fact{{Network: "N_1", Organization: "7"}}) // not moved yet
		if got, _ := o.Owned(judged.Add(2*time.Second), q); got != "7" {
			t.Errorf("%s: %q, and the Dashboard has just said 7", name, got)
		}
		if got, _ := o.Owned(judged.Add(time.Minute), q); got != "" {
			t.Errorf("%s: a minute later the owner is still %q", name, got)
		}
		o.Learn(judged.Add(time.Hour), []Fact{{Network: "N_1", Organization: "8"}})
		if got, _ := o.Owned(judged.Add(time.Hour+30*time.Minute), q); got != "8" {
			t.Errorf("%s: long after it, the owner is %q", name, got)
		}
	}
	o := directory(30 * time.Second)
	o.Learn(judged, []Fact{{Network: "N_1", Organization: "7"}})
	o.Changed(judged, "createOrganizationActionBatch", "7", []byte(`{"actions":[{"resource":"/networks/N_1/vlans","operation":"create","body":{}}]}`))
	if got, _ := o.Owned(judged, Question{Kind: Network, ID: "N_1"}); got != "7" {
		t.Errorf("a batch that moves nothing: %q", got)
	}
}

// TestAShardIsForgotten: in time, and when it does not answer well.
func TestAShardIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := directory(time.Minute)
		o.Shards.Learn(time.Now(), "1", "https://n1.meraki.com")
		o.Shards.Learn(time.Now(), "2", "https://n2.meraki.com")
		time.Sleep(time.Hour) // its age
		if got := o.Shards.Find("1"); got != "https://n1.meraki.com" {
			t.Errorf("within its age: %q", got)
		}
		o.Shards.Forget("2")
		if got := o.Shards.Find("2"); got != "" {
			t.Errorf("forgotten: %q", got)
		}
		time.Sleep(time.Nanosecond)
		if got := o.Shards.Find("1"); got != "" {
			t.Errorf("past its age: %q", got)
		}
	})
}

// TestSizeIsBounded: of each kind of owner as many are remembered as Config says, the
// most recently used ones, whether they were found or are known to be none.
func TestSizeIsBounded(t *testing.T) {
	t.Parallel()
	o := directory(time.Hour)
	for i := range 1000 {
		id := fmt.Sprint(i)
		o.Learn(judged, []Fact{{Network: "N_" + id, Organization: "7"}, {Serial: "Q" + id, Network: "N_" + id}})
		o.miss(judged, "key", "N_none"+id)
	}
	networks, devices := 0, 0
	for i := range 1000 {
		id := fmt.Sprint(i)
		if o.network(judged, "N_"+id) != "" {
			networks++
		}
		if organization, network := o.device(judged, "Q"+id); organization != "" || network != "" {
			devices++
		}
	}
	if networks == 0 || networks > 10 || devices == 0 || devices > 10 {
		t.Errorf("%d networks and %d devices are remembered, the bound is 10", networks, devices)
	}
	if o.network(judged, "N_999") == "" {
		t.Error("the last one is forgotten")
	}
}
