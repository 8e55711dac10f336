package service_test

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// misleading is a house whose Dashboard leads on to where lead says: with redirect by
// a redirect of the first request, otherwise by the link of the first page.
func misleading(t *testing.T, redirect bool, lead *atomic.Pointer[string]) *harness {
	t.Helper()
	return build(t, plan{
		broker: fast, sandbox: sandbox.Options{Organizations: 2, NetworksPerOrganization: 4},
		access: identity.Config{LinkerdClientID: &identity.ProxyConfig{Trusted: []string{"127.0.0.1"}}},
		rules: identity.Rules{{Name: "orders", Callers: []string{orders}, Organizations: []string{"2930418"},
			Operations: []identity.Grant{{Section: "*", Verbs: []string{"read", "write"}}}}},
		upstream: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				first := strings.HasSuffix(r.URL.Path, "/2930418/networks") && !strings.Contains(r.URL.RawQuery, "startingAfter")
				if first && redirect {
					w.Header().Set("Location", *lead.Load())
					w.WriteHeader(http.StatusTemporaryRedirect)
					return
				}
				answer := httptest.NewRecorder()
				next.ServeHTTP(answer, r)
				if first {
					answer.Header().Set("Link", "<"+*lead.Load()+">; rel=next")
				}
				maps.Copy(w.Header(), answer.Header())
				w.WriteHeader(answer.Code)
				_, _ = w.Write(answer.Body.Bytes())
			})
		},
	})
}

// TestLinksAndRedirectsLeadNowhereElse: what the Dashboard's own answer names as the next page,
// or as another place, is asked for only where it is the same path, and a list that
// goes on elsewhere does not end as if it were whole. No other host hears of it.
func TestLinksAndRedirectsLeadNowhereElse(t *testing.T) {
	t.Parallel()
	var foreign atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { foreign.Add(1) }))
	t.Cleanup(elsewhere.Close)
	var lead atomic.Pointer[string]
	linked, redirected := misleading(t, false, &lead), misleading(t, true, &lead)
	other, network := linked.sandbox.OrganizationID(1), linked.sandbox.NetworkID(1, 0)
	for _, to := range []string{
		"/api/v1/organizations/" + other + "/networks?startingAfter=N_0", "/api/v1/networks/" + network, "/api/v1/organizations/2930418/devices?startingAfter=Q",
		"/api/v1/organizations/2930418/networks/../../" + other + "/networks?startingAfter=N_0", "/api/v1/organizations/2930418%2f..%2f" + other + "/networks?startingAfter=N_0",
		"/api/v1/organizations/2930418%252f..%252f" + other + "/networks", "/api/v1/organizations/2930418;x=" + other + "/networks?startingAfter=N_0", "/api/v1/organizations//" + other + "/networks",
		"/api/v1/organizations/%EF%BC%92930418/networks", "/api/v1/organizations/2930418%00/networks", "/api/v1/organizations/2930418/networks/", "/api/v1/organizations/2930418/networks.json",
		`/api/v1/organizations/2930418\..\` + other + `/networks`, "/api/v0/organizations/2930418/networks", "/admin/organizations/2930418/networks", "/api/v1/Organizations/2930418/networks?startingAfter=N_0",
		"https://" + other + "@api.meraki.com/api/v1/organizations/" + other + "/networks", elsewhere.URL + "/api/v1/organizations/" + other + "/networks?startingAfter=N_0", "//[::1/", "file:///etc/passwd",
	} {
		lead.Store(&to)
		_, next := linked.pages(as(orders), t, "2930418")
		_, err := next()
		if err == nil {
			_, err = next()
		}
		wantCode(t, "link to "+to, err, codes.Internal, "NEXT_PAGE_REFUSED")
		_, err = redirected.call(as(orders), t, "getOrganizationNetworks", map[string]any{"organization_id": "2930418"})
		wantCode(t, "redirect to "+to, err, codes.FailedPrecondition, "REDIRECT_REFUSED")
	}
	// A link to another host is the same page at the base: proxies write such links.
	to := elsewhere.URL + "/api/v1/organizations/%32930418/networks?perPage=3&startingAfter=" + linked.sandbox.NetworkID(0, 2)
	lead.Store(&to)
	_, next := linked.pages(as(orders), t, "2930418")
	pages := 0
	_, err := next()
	for ; err == nil; _, err = next() {
		pages++
	}
	if !errors.Is(err, io.EOF) || pages < 2 {
		t.Errorf("%d pages, %v", pages, err)
	}
	_, err = redirected.call(as(orders), t, "getOrganizationNetworks", map[string]any{"organization_id": "2930418"})
	wantCode(t, "redirect to another host", err, codes.FailedPrecondition, "REDIRECT_REFUSED")
	if n := foreign.Load(); n > 0 {
		t.Errorf("another host was asked %d times", n)
	}
	untouched(t, linked, other)
	untouched(t, redirected, other)
}
