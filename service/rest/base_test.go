package rest_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/service/sandbox"
)

// TestLinksNameTheAddressThatTheClientUsed: the broker's own, or what a proxy that may
// says about it; nobody else's word counts.
func TestLinksNameTheAddressThatTheClientUsed(t *testing.T) {
	for _, test := range []struct {
		trusted []string
		headers []string
		want    string // URL for the face's own address
	}{
		{nil, nil, "URL"},
		{nil, []string{"X-Forwarded-Host", "broker.example", "X-Forwarded-Proto", "https"}, "URL"},
		{[]string{"203.0.113.0/24"}, []string{"X-Forwarded-Host", "broker.example", "X-Forwarded-Proto", "https"}, "URL"},
		{[]string{"127.0.0.0/8"}, []string{"X-Forwarded-Host", "broker.example", "X-Forwarded-Proto", "https"}, "https://broker.example"},
		{[]string{"127.0.0.0/8"}, []string{"X-Forwarded-Host", "broker.example:8443", "X-Forwarded-Proto", "HTTPS"}, "https://broker.example:8443"},
		{[]string{"127.0.0.0/8"}, []string{"X-Forwarded-Host", "[2001:db8::1]:8443"}, "http://[2001:db8::1]:8443"},
		{[]string{"127.0.0.0/8"}, []string{"X-Forwarded-Proto", "https"}, "https" + "URL"},
		{[]string{"127.0.0.0/8"}, []string{"X-Forwarded-Host", "a.example, b.example"}, "URL"},
		{[]string{"127.0.0.0/8"}, []string{"X-Forwarded-Host", "a/b"}, "URL"},
		{[]string{"127.0.0.0/8"}, []string{"X-Forwarded-Host", "a>;rel=next"}, "URL"},
		{[]string{"127.0.0.0/8"}, []string{"X-Forwarded-Proto", "javascript"}, "URL"},
	} {
		f := newFace(t, setup{sandbox: sandbox.Options{LimitsOff: true}, forwarded: test.trusted})
		path := "/api/v1/organizations/" + f.sandbox.OrganizationID(0) + "/networks?perPage=3"
		want := strings.Replace(test.want, "URL", f.url, 1)
		want = strings.Replace(want, "httpshttp:", "https:", 1)
		resp, _ := f.ask(t, "GET", path, "", test.headers...)
		if link := resp.Header.Get("Link"); !strings.HasPrefix(link, "<"+want+"/api/v1/organizations/") {
			t.Errorf("%v from %v: %s, not %s", test.headers, test.trusted, link, want)
		}
		// A request of the vendor's host came over TLS.
		if resp, _ := f.ask(t, "GET", path, "", "Host", "api.meraki.com"); !strings.HasPrefix(resp.Header.Get("Link"), "<https://api.meraki.com/api/v1/organizations/") {
			t.Errorf("the vendor's host: %s", resp.Header.Get("Link"))
		}
		// The doubled address that the Python SDK makes of it is the broker's own, too.
		if resp, body := f.ask(t, "GET", "/api/v1"+want+path, "", test.headers...); resp.StatusCode != 200 {
			t.Errorf("%v: the doubled address: %d %s", test.headers, resp.StatusCode, body)
		}
	}
}

// TestRequestsAreCountedAndFailuresLogged: each answer is told once, with its status and
// reason; the log names operation and caller, and no secret.
func TestRequestsAreCountedAndFailuresLogged(t *testing.T) {
	var mu sync.Mutex
	told := make(map[string]int)
	var log bytes.Buffer
	f := newFace(t, setup{
		observe: func(status int, reason string, _ time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			told[fmt.Sprint(status, " ", reason)]++
		},
		log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	f.ask(t, "GET", "/api/v1/organizations", "")
	f.ask(t, "GET", "/api/v1/organizations/1", "", "Authorization", "Bearer "+clientsKey)
	f.ask(t, "PATCH", "/api/v1/organizations", "")
	for range 30 {
		f.ask(t, "GET", "/elsewhere", "")
	}
	mu.Lock()
	defer mu.Unlock()
	if fmt.Sprint(told) != "map[200 :1 403 BAD_REQUEST:31 404 NOT_FOUND:1]" {
		t.Error(told)
	}
	text := log.String()
	if strings.Count(text, "call failed") != 11 || !strings.Contains(text, "operation=getOrganization status=404 reason=NOT_FOUND") || strings.Contains(text, clientsKey) || strings.Contains(text, brokersKey) {
		t.Error(text)
	}
}
