package service_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

const (
	ordersID = "spiffe://mesh.example/ns/shop/sa/orders"
	otherID  = "spiffe://mesh.example/ns/shop/sa/other"
)

// TestBadCertificates, end to end: who is let in, who is told why not, and who does
// not get as far. While they try, a caller with a good one is served.
func TestBadCertificates(t *testing.T) {
	t.Parallel()
	ours, foreign := newAuthority(t), newAuthority(t)
	hour := time.Now().Add(time.Hour)
	files := newSecrets(t)
	files.certificate(ours.issue(1, hour), ours)
	h := build(t, plan{
		broker: fast, sandbox: sandbox.Options{LimitsOff: true}, server: files.serve,
		access: identity.Config{PeerCertificate: true},
		rules: identity.Rules{{
			Name: "orders", Callers: []string{ordersID}, Organizations: []string{"*"},
			Operations: []identity.Grant{{Operation: "getOrganization"}},
		}},
	})
	as := func(l *leaf) *harness {
		out := *h
		out.conn = dial(t, h, l, ours)
		t.Cleanup(func() { _ = out.conn.Close() })
		return &out
	}
	issue := func(a *authority, end time.Time, uris ...string) *leaf {
		l := a.issue(2, end, uris...)
		return &l
	}
	good := issue(ours, hour, ordersID)
	stop := unharmed(t, as(good))
	defer stop()
	for _, row := range []struct {
		name string
		leaf *leaf
		code codes.Code
		says string
	}{
		{"good", good, codes.OK, ""},
		{"another caller's", issue(ours, hour, otherID), codes.PermissionDenied, "other"},
		{"expired", issue(ours, time.Now().Add(-time.Minute), ordersID), codes.Unavailable, ""},
		{"foreign", issue(foreign, hour, ordersID), codes.Unavailable, ""},
		{"none", nil, codes.Unavailable, ""},
		{"two URIs", issue(ours, hour, ordersID, otherID), codes.Unauthenticated, "names 2 URIs"},
		{"no URI", issue(ours, hour), codes.Unauthenticated, "names no URI"},
		{"a URI that is no SPIFFE id", issue(ours, hour, "https://mesh.example/orders"), codes.Unauthenticated, ""},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_, err := as(row.leaf).call(ctx, t, "getOrganization", map[string]any{"organization_id": h.sandbox.OrganizationID(0)})
		cancel()
		if status.Code(err) != row.code || !strings.Contains(status.Convert(err).Message(), row.says) {
			t.Errorf("%s: %v, want %v that says %q", row.name, err, row.code, row.says)
		}
	}
}
