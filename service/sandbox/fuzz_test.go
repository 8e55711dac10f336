package sandbox

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/merakibroker/merakibroker/service/sandbox/document"
)

// FuzzRequest sends anything at all: no panic, and always an answer that HTTP allows.
func FuzzRequest(f *testing.F) {
	o := open()
	o.AnyPath, o.Wire = true, Wire{Shapes: true, EndlessEvents: true}
	s := newSandbox(f, o)
	f.Add("GET", "organizations", "perPage=3", "")
	f.Add("PUT", "networks/"+s.NetworkID(0, 0), "", `{"name":null,"tags":[1,"a"],"productTypes":{}}`)
	f.Add("POST", "networks/"+s.NetworkID(0, 1)+"/devices/claim", "", `{"serials":[1,null,"`+s.Serial(1, 0, 0)+`"]}`)
	f.Add("POST", "organizations/"+s.OrganizationID(0)+"/actionBatches", "", `{"confirmed":true,"actions":[{"resource":"/networks/x","operation":"create"},3]}`)
	f.Add("POST", "organizations/"+s.OrganizationID(0)+"/networks/moves", "", `{"network":[],"organizations":{"target":7}}`)
	f.Add("GET", "networks/%2f%00/clients/%zz", "startingAfter=%ff&perPage=1e9", "")
	f.Add("PUT", "organizations/"+s.OrganizationID(0)+"/networks/"+s.NetworkID(0, 1), "", `{"name":"x"}`)
	f.Add("POST", "organizations/"+s.OrganizationID(0)+"/nothing/here", "", `{"id":[1]}`)
	f.Add("GET", "http:/127.0.0.1/api/v1/organizations", "", "")
	f.Add("POST", "organizations/"+s.OrganizationID(0)+"/actionBatches", "", `{"confirmed":true,"actions":[{"resource":"/networks/`+s.NetworkID(0, 0)+`","operation":"bind","body":[]}]}`)
	f.Add("PUT", "networks/"+s.NetworkID(0, 1)+"/appliance/firewall/l7FirewallRules", "", `{"rules":[{"type":"application","value":[{}]}]}`)
	f.Add("DELETE", "networks/"+s.NetworkID(2, 1), "a=b;c", "x")
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		r := httptest.NewRequest(http.MethodGet, "/api/v1/", strings.NewReader(body))
		r.Method = method
		r.URL.Path, r.URL.RawPath, r.URL.RawQuery = "/api/v1/"+path, "", query
		r.Header.Set("Authorization", "Bearer key")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code < 200 || w.Code > 599 {
			t.Errorf("status %d", w.Code)
		}
		if w.Code != http.StatusNoContent && strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") {
			if _, err := document.Decode(w.Body.Bytes()); err != nil {
				t.Errorf("%s %s: not JSON: %.200s", method, path, w.Body)
			}
		}
	})
}

// FuzzScript reads fault scripts: refused or accepted, never a panic.
func FuzzScript(f *testing.F) {
	s := newSandbox(f, open())
	f.Add(`{"path":"/networks/","times":-1,"faults":[{"kind":"status","status":502,"body":"html"}]}`)
	f.Add(`[{"faults":[{"kind":"redirect","target":"https://x/y"}]}]`)
	f.Add(`{"path":"/networks/` + s.NetworkID(0, 0) + `","method":"POST","body":{"name":"{n}"},"every":"1s","times":3}`)
	f.Add(`{"path":"/","body":{}}`)
	f.Add(`{"shapes":true,"items":["getOrganizations"],"failed":"x","messages":["y"]}`)
	f.Fuzz(func(_ *testing.T, body string) {
		_ = each(s.AddScript)([]byte(body))
		_ = each(s.AddRejection)([]byte(body))
		_ = each(s.AddJobScript)([]byte(body))
		_ = each(s.AddChange)([]byte(body))
		_ = each(s.SetWire)([]byte(body))
		_ = s.timesPage([]byte(body))
		s.Reset()
	})
}

func BenchmarkRead(b *testing.B) {
	s := newSandbox(b, open())
	h := s.Handler()
	for _, row := range []struct{ name, path string }{
		{"network", "/networks/" + s.NetworkID(0, 0)}, {"device", "/devices/" + s.Serial(0, 0, 0)}, {"devices", "/organizations/" + s.OrganizationID(0) + "/devices?perPage=3"},
	} {
		b.Run(row.name, func(b *testing.B) {
			r := httptest.NewRequest(http.MethodGet, "/api/v1"+row.path, nil)
			r.Header.Set("Authorization", "Bearer key")
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(&discard{header: make(http.Header, 8)}, r)
			}
		})
	}
}

type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// The cache keeps what was used last, and never more bytes than its bound.
func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	var c cache
	c.init()
	body := make([]byte, 64<<10)
	first := cacheKey{path: "/first"}
	c.put(&first, 1, &response{body: body})
	for i := range 3000 { // 190 MiB
		c.put(&cacheKey{path: "/" + strconv.Itoa(i)}, 1, &response{body: body})
		if c.get(&first, 1) == nil {
			t.Fatalf("what is used all the time was dropped after %d", i)
		}
	}
	total := 0
	for i := range c.shards {
		n := 0
		for _, k := range c.shards[i].kept.Keys() {
			e, _ := c.shards[i].kept.Peek(k)
			n += e.size(k)
		}
		if n != c.shards[i].bytes {
			t.Errorf("shard %d counts %d bytes and keeps %d", i, c.shards[i].bytes, n)
		}
		total += n
	}
	if total > cacheBytes || total < cacheBytes/2 {
		t.Errorf("%d bytes are kept", total)
	}
	if c.get(&first, 2) != nil {
		t.Error("an old answer is given")
	}
	c.reset()
	if c.get(&first, 1) != nil || c.shards[0].bytes != 0 {
		t.Error("the reset left something")
	}
}
