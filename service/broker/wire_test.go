package broker

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/record"
)

// TestTheServersCountIsOurs sends every kind of attempt over real connections:
// pages, retries, redirects, look-ups, writes. The server must have seen exactly
// the attempts that the broker has counted, and each of them had a slot.
func TestTheServersCountIsOurs(t *testing.T) {
	t.Parallel()
	var seen atomic.Int64
	var mu sync.Mutex
	visits := make(map[string]int)
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		mu.Lock()
		visits[r.URL.String()]++
		visit := visits[r.URL.String()]
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		part := strings.Split(strings.TrimPrefix(r.URL.Path, "/api/v1/"), "/")
		switch n := r.URL.Query().Get("n"); {
		case len(part) == 2 && part[0] == "networks":
			fmt.Fprintf(w, `{"id":%q,"organizationId":"1","productTypes":[]}`, part[1])
		case len(part) == 2 && part[0] == "devices":
			fmt.Fprintf(w, `{"serial":%q,"networkId":"N_%s"}`, part[1], part[1])
		case n == "7" && visit == 1:
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprint(w, `{"errors":["API rate limit exceeded for organization"]}`)
		case strings.HasSuffix(n, "3") && visit == 1:
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprint(w, `<html><head><title>502 Bad Gateway</title></head></html>`)
		case strings.HasSuffix(n, "5") && r.URL.Query().Get("moved") == "":
			http.Redirect(w, r, server.URL+r.URL.Path+"?moved=1&n="+n, http.StatusTemporaryRedirect)
		case strings.HasSuffix(n, "1") && r.URL.Query().Get("page") == "":
			w.Header().Set("Link", "<"+server.URL+r.URL.Path+"?page=2&n="+n+">; rel=next")
			fmt.Fprint(w, `[]`)
		default:
			fmt.Fprint(w, `[]`)
		}
	}))
	defer server.Close()
	client, err := dashboard.New(dashboard.Config{BaseURL: server.URL + "/api/v1"})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	b := testBroker(t, &fakeDashboard{}, func(c *Config) {
		c.Dashboard = client
		c.Budgets.Rate, c.Budgets.Burst, c.Budgets.AddressRate, c.Budgets.AddressBurst = 1e4, 1e3, 1e4, 1e3
		c.Budgets.CautiousRate, c.Budgets.CautiousBurst = 1e4, 1e3
	})
	defer b.Close()
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			c := read("1", i)
			switch i % 4 {
			case 1:
				c = network(fmt.Sprint("N_", i/10), i)
			case 2:
				c = device(fmt.Sprint("Q", i/10), i)
			case 3:
				c = write(apiv1.Verb_VERB_PUT, "1")
				c.Query = fmt.Sprint("n=", i)
			}
			for {
				a, err := b.Do(t.Context(), c)
				if err != nil {
					t.Errorf("call %d: %v", i, err)
					return
				}
				if a.Next == nil {
					return
				}
				c.Path, c.Query = a.Next.Path, a.Next.Query
			}
		})
	}
	wg.Wait()
	for _, a := range b.Record().List(record.AttemptFilter{}) {
		if a.Status == 0 {
			t.Errorf("%s %s: %s", a.Operation, a.Outcome, a.Error)
		}
	}
	if b.Attempts() != seen.Load() || b.Granted() != seen.Load() {
		t.Errorf("the server saw %d requests; %d attempts, %d slots", seen.Load(), b.Attempts(), b.Granted())
	}
	if seen.Load() < 130 {
		t.Errorf("%d requests only: not every kind was among them", seen.Load())
	}
}
