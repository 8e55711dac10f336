package batch

import (
	"fmt"
	"slices"
	"testing"
)

// TestMade: what was created is told only where the Dashboard's list fits the actions.
func TestMade(t *testing.T) {
	t.Parallel()
	actions := []Action{
		{"/networks/N/vlans", actionCreate, nil}, {"/devices/Q/switch/ports/1", actionUpdate, nil}, {"/networks/N/groupPolicies", actionCreate, nil},
	}
	for _, test := range []struct {
		resources string
		want      []string
	}{
		{`{"id":"7","uri":"/networks/N/vlans/7"},{"id":101,"uri":"https://n1.meraki.com/api/v1/networks/N/groupPolicies/101"}`, []string{"/networks/N/vlans/7", "", "/networks/N/groupPolicies/101"}},
		{`{"id":"7","uri":"networks/N/vlans/7"},{"id":"8","uri":"networks/N/groupPolicies/8/"}`, []string{"/networks/N/vlans/7", "", "/networks/N/groupPolicies/8"}},
		{`{"id":"7","uri":"/networks/N/vlans/7"}`, make([]string, 3)},
		{`{"id":"8","uri":"/networks/N/groupPolicies/8"},{"id":"7","uri":"/networks/N/vlans/7"}`, make([]string, 3)},
		{`{"id":"7","uri":"/networks/N/vlans/7"},{"id":"8"}`, make([]string, 3)},
		{``, make([]string, 3)},
	} {
		d, ok := readDocument(fmt.Appendf(nil, `{"id":"1","status":{"completed":true,"createdResources":[%s]}}`, test.resources))
		if got := d.made(actions); !ok || !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.resources, got, test.want)
		}
	}
}

// TestCarries compares actions by value, as the Dashboard shows them.
func TestCarries(t *testing.T) {
	t.Parallel()
	actions := []Action{{"/networks/N/vlans", actionCreate, []byte(`{"id":"1","n":1.0}`)}, {"/networks/N/vlans/2", actionDestroy, nil}}
	for text, want := range map[string]bool{
		`{"resource":"networks/N/vlans/","operation":"create","body":{"n":1.0,"id":"1"}},{"resource":"/networks/N/vlans/2","operation":"destroy","body":{}}`: true,
		`{"resource":"/networks/N/vlans","operation":"create","body":{"n":1.0,"id":"1"}},{"resource":"/networks/N/vlans/2","operation":"destroy"}`:           true,
		`{"resource":"/networks/N/vlans","operation":"create","body":{"n":1.0,"id":"2"}},{"resource":"/networks/N/vlans/2","operation":"destroy"}`:           false,
		`{"resource":"/networks/N/vlans/2","operation":"destroy"},{"resource":"/networks/N/vlans","operation":"create","body":{"n":1.0,"id":"1"}}`:           false,
		`{"resource":"/networks/N/vlans","operation":"update","body":{"n":1.0,"id":"1"}},{"resource":"/networks/N/vlans/2","operation":"destroy"}`:           false,
		`{"resource":"/networks/N/vlans","operation":"create","body":{"n":1.0,"id":"1"}}`:                                                                    false,
	} {
		if d, ok := readDocument([]byte(`{"id":"1","actions":[` + text + `]}`)); !ok || d.carries(actions) != want {
			t.Errorf("%s: %v, want %v", text, !want, want)
		}
	}
}

func FuzzDocument(f *testing.F) {
	f.Add([]byte(`{"id":"1","status":{"completed":true,"createdResources":[{"id":1,"uri":"/a/1"}]},"actions":[{"resource":"/a","operation":"create","body":{}}]}`))
	f.Add([]byte(`[{"id":"1"}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		actions := []Action{{"/a", actionCreate, []byte(`{}`)}}
		d, ok := readDocument(body)
		if ok && d.ID == "" {
			t.Error("a batch without an id")
		}
		for _, uri := range d.made(actions) {
			if uri != "" && len(uri) <= len("/a/") {
				t.Errorf("%q", uri)
			}
		}
		d.carries(actions)
		_, _ = rowsOf(body)
	})
}
