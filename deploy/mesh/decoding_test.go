//go:build mesh

package mesh

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	networksv1 "github.com/merakibroker/merakibroker/gen/meraki/networks/v1"
	"github.com/merakibroker/merakibroker/service/sandbox"
	"github.com/merakibroker/merakibroker/service/store/storetest"
)

// A hop stands between the broker and the Dashboard, and unescapes, resolves and
// merges what it can of a path.
type hop struct {
	name  string
	start func(t *testing.T, listen int, upstream string)
}

// nginxHop passes on what it has made of the path: that is what proxy_pass with a
// path does.
func nginxHop(t *testing.T, listen int, upstream string) {
	folder := t.TempDir()
	config := fmt.Sprintf(`
daemon off;
pid %[1]s/pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  merge_slashes on;
  server {
    listen 127.0.0.1:%[2]d;
    location = /alive { return 200; }
    location / { proxy_http_version 1.1; proxy_set_header Host $host; proxy_pass http://%[3]s/; }
  }
}
`, folder, listen, upstream)
	file := filepath.Join(folder, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, tool(t, "NGINX_BINARY"), "-e", "stderr", "-p", folder, "-c", file)
	eventually(t, "nginx", p, ready("http://"+at(listen)+"/alive"))
}

// envoyHop normalises paths and unescapes slashes.
func envoyHop(t *testing.T, listen int, upstream string) {
	admin := storetest.FreePort(t)
	host, number, _ := strings.Cut(upstream, ":")
	envoy(t, fmt.Sprintf(`
admin: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}
static_resources:
  listeners:
    - address: {socket_address: {address: 127.0.0.1, port_value: %d}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: hop
                normalize_path: true
                merge_slashes: true
                path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD
                route_config:
                  virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: dashboard}}]}]
                http_filters:
                  - {name: envoy.filters.http.router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
    - name: dashboard
      type: STATIC
      load_assignment: {cluster_name: dashboard, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: %s, port_value: %s}}}}]}]}
`, admin, listen, host, number), admin)
}

// The callers, as a mesh would name them.
const (
	restrictedCaller = "orders.shop.serviceaccount.identity.linkerd.cluster.local"
	widestCaller     = "billing.shop.serviceaccount.identity.linkerd.cluster.local"
)

func by(ctx context.Context, caller string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "l5d-client-id", caller)
}

// TestDecodingHops: behind a proxy that unescapes, a caller that may have one
// organization reaches nothing of another one, however a path is written, and a
// caller that may have all leaves no more requests for it than its budget has.
func TestDecodingHops(t *testing.T) {
	for _, h := range []hop{{"nginx", nginxHop}, {"envoy", envoyHop}} {
		t.Run(h.name, func(t *testing.T) { attack(t, h) })
	}
}

func attack(t *testing.T, h hop) {
	t.Setenv("MERAKI_DASHBOARD_API_KEY", "the-sandbox-takes-any")
	board, upstream := dashboard(t, sandbox.Options{Organizations: 2})
	between, listen, admin := storetest.FreePort(t), storetest.FreePort(t), storetest.FreePort(t)
	h.start(t, between, strings.TrimSuffix(strings.TrimPrefix(upstream, "http://"), "/api/v1"))
	mine, other := board.OrganizationID(0), board.OrganizationID(1)
	config := fmt.Sprintf(`
listen: %s
admin: %s
upstream: http://%s/api/v1
budget: {rate: 2, burst: 2}
drain: {settle: 0s, timeout: 20s}
identity: {linkerd_client_id: {trusted: [127.0.0.1/32]}}
credentials: {keys: [{name: default, env: MERAKI_DASHBOARD_API_KEY}]}
policy:
  - {name: one, callers: [%s], organizations: [%q, none], operations: [{section: "*", verbs: [read, write]}, {rpc: Call, verbs: [read, write]}]}
  - {name: all, callers: [%s], organizations: ["*"], operations: [{section: "*", verbs: [read, write]}, {rpc: Call, verbs: [read, write]}, {rpc: "*"}]}
`, at(listen), at(admin), at(between), restrictedCaller, mine, widestCaller)
	file := filepath.Join(t.TempDir(), "merakid.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, tool(t, "MERAKID"), "-config", file)
	eventually(t, "merakid", p, ready("http://"+at(admin)+"/readyz"))
	conn, err := grpc.NewClient(at(listen), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	broker := brokerv1.NewBrokerServiceClient(conn)

	// That the hop unescapes and resolves is what the test is about.
	r, err := http.Get("http://" + at(between) + "/api/v1/organizations/x%2f..%2f..%2forganizations")
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != http.StatusOK && r.StatusCode != http.StatusUnauthorized {
		t.Fatalf("the hop does not unescape: %d", r.StatusCode)
	}

	network, serial := board.NetworkID(1, 0), board.Serial(1, 0, 0)
	for _, path := range []string{
		"/organizations/" + other, "/%6frganizations/" + other, "/%6Frganizations/" + other + "/networks", "/%6eetworks/" + network, "/%64evices/" + serial,
		"/%256frganizations/" + other, "/organizations/" + mine + "%2f..%2f" + other, "/organizations/" + mine + "%252f..%252f" + other,
		"/organizations/" + mine + "/..%2f" + other, "/organizations/" + mine + "/%2e%2e/" + other, "/organizations/" + mine + "/.%2e/" + other,
		"/organizations/" + mine + "/../" + other, "//organizations/" + other, "/%2forganizations/" + other, "/foo/..%2forganizations/" + other, "/foo%2f..%2forganizations/" + other,
		"/foo/organizations/" + other, "/organizations%2f" + other, "/organizations%5c" + other, "/organizations/" + mine + "%5c..%5c" + other,
		"/organizations/" + mine + ";/..%2f" + other, "/organizations/" + other + "%3f", "/organizations/" + other + "%23x", "/organizations/" + other + "%00", "/organizations/" + other + "%20",
		"/organizations/" + mine + "/%c0%ae%c0%ae/" + other, "/organizations/" + mine + "/%ef%bc%8e%ef%bc%8e/" + other, "/organizations/" + mine + "%c0%af..%c0%af" + other,
	} {
		for _, method := range []string{"GET", "PUT", "POST", "DELETE"} {
			ctx := by(within(t, 10*time.Second), restrictedCaller)
			if out, err := broker.Call(ctx, &brokerv1.CallRequest{Method: method, Path: path}); err == nil {
				t.Errorf("%s %s is answered: %s", method, path, out.GetBody())
			}
		}
	}
	networks := networksv1.NewNetworksServiceClient(conn)
	own := board.NetworkID(0, 0)
	for _, id := range []string{"../../" + network, "..%2f..%2f" + network, "x/../../../" + network + "/floorPlans/y", "..", "%2e%2e", "..;/..;/" + network, "x?y", "..\\..\\" + network} {
		ctx := by(within(t, 10*time.Second), restrictedCaller)
		if _, err := networks.DeleteNetworkFloorPlan(ctx, &networksv1.DeleteNetworkFloorPlanRequest{NetworkId: &own, FloorPlanId: &id}); err == nil {
			t.Errorf("the floor plan %q is deleted", id)
		}
	}
	for name, n := range board.Organization(other).Operations {
		if name != "getNetwork" && name != "getDevice" && n.Arrived > 0 { // look-ups of whose it is
			t.Errorf("%d requests for %s have reached the other organization", n.Arrived, name)
		}
	}

	// One that may have all is charged, however it writes the path.
	before, began := board.Organization(other).Arrived, time.Now()
	var calls sync.WaitGroup
	for i := range 50 {
		calls.Go(func() {
			spelled := []string{"/%6frganizations/", "/organization%73/", "/organizations/", "/%6F%72ganizations/"}[i%4]
			_, _ = broker.Call(by(within(t, 2*time.Second), widestCaller), &brokerv1.CallRequest{Method: "GET", Path: spelled + other + "/networks", Query: []*brokerv1.QueryParameter{{Name: "perPage", Value: strconv.Itoa(3 + i)}}})
		})
	}
	calls.Wait()
	stats := board.Organization(other)
	if n, most := stats.Arrived-before, 3+2*time.Since(began).Seconds(); n == 0 || float64(n) > most {
		t.Errorf("%d requests have left for the other organization; its budget has %.1f", n, most)
	}
	if stats.LimitedByOrganization > 0 {
		t.Errorf("%d requests were over the organization's limit", stats.LimitedByOrganization)
	}
}
