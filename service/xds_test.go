package service_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	xdsserver "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/xds"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/proxyless"
)

// node is who all of the test is to the control plane.
const node = "merakid-test"

// A controlPlane is go-control-plane's own, with one snapshot, on loopback.
type controlPlane struct {
	t         *testing.T
	snapshots cache.SnapshotCache
	version   int
	bootstrap []byte
}

func newControlPlane(t *testing.T) *controlPlane {
	t.Helper()
	c := &controlPlane{t: t, snapshots: cache.NewSnapshotCache(false, cache.IDHash{}, nil)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	server := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(server, xdsserver.NewServer(ctx, c.snapshots, nil))
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { cancel(); server.Stop() })
	c.bootstrap = fmt.Appendf(nil, `{
		"xds_servers": [{"server_uri": %q, "channel_creds": [{"type": "insecure"}]}],
		"node": {"id": %q},
		"server_listener_resource_name_template": "merakid?listening=%%s"
	}`, l.Addr(), node)
	return c
}

// publish says which servers may serve, and to which of them the clients go.
func (c *controlPlane) publish(servers, serving []string) {
	c.t.Helper()
	c.version++
	listeners := []types.Resource{clientListener()}
	for _, s := range servers {
		listeners = append(listeners, serverListener(s))
	}
	s, err := cache.NewSnapshot(strconv.Itoa(c.version), map[resource.Type][]types.Resource{
		resource.ListenerType: listeners,
		resource.RouteType:    {clientRoutes()},
		resource.ClusterType:  {brokerCluster()},
		resource.EndpointType: {endpoints(serving)},
	})
	if err == nil {
		err = c.snapshots.SetSnapshot(context.Background(), node, s)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// TestProxyless: the broker serves as a control plane says, and is called without
// a proxy by a client that asks the same control plane where it is. It learns that
// it may serve, goes away, and the calls go to another replica.
func TestProxyless(t *testing.T) {
	t.Parallel()
	plane := newControlPlane(t)
	modes := make(chan bool, 10)
	replica := func() *harness {
		return build(t, plan{broker: fast, server: func(c *service.Config) {
			c.NewGRPC = func(options ...grpc.ServerOption) (service.GRPC, error) {
				return proxyless.New(proxyless.Config{
					Log: discard(), Serving: func(on bool) { modes <- on },
					Options: []grpc.ServerOption{xds.BootstrapContentsForTesting(plane.bootstrap)},
				}, options...)
			}
		}})
	}
	mode := func(want bool) {
		t.Helper()
		select {
		case got := <-modes:
			if got != want {
				t.Fatalf("the control plane says %v", got)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("the control plane says nothing")
		}
	}
	first, second := replica(), replica()
	plane.publish([]string{first.address}, []string{first.address})
	mode(true)

	resolver, err := xds.NewXDSResolverWithConfigForTesting(plane.bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("xds:///merakid.test", grpc.WithResolvers(resolver), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	call := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		h := *first
		h.conn = conn
		organizations, err := h.call(ctx, t, "getOrganizations", nil)
		if err == nil && len(items(organizations)) != 3 {
			t.Errorf("organizations: %v", organizations)
		}
		return err
	}
	if err := call(); err != nil {
		t.Fatal(err)
	}
	if first.broker.Attempts() != 1 {
		t.Errorf("the first replica made %d attempts", first.broker.Attempts())
	}
	// A second replica takes over, as in a rolling restart: first it may serve, then
	// the clients are sent there, then the first may not serve any more.
	plane.publish([]string{first.address, second.address}, []string{first.address})
	mode(true)
	plane.publish([]string{first.address, second.address}, []string{second.address})
	for second.broker.Attempts() == 0 {
		if err := call(); err != nil {
			t.Fatal(err)
		}
	}
	plane.publish([]string{second.address}, []string{second.address})
	mode(false)
	if err := call(); err != nil {
		t.Fatal(err)
	}
	// Nobody reaches a server that may not serve.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := first.call(ctx, t, "getOrganizations", nil); status.Code(err) != codes.Unavailable {
		t.Errorf("a server that may not serve answers %v", err)
	}
}

func packed(m proto.Message) *anypb.Any {
	a, err := anypb.New(m)
	if err != nil {
		panic(err) // a test's own messages
	}
	return a
}

func ads() *core.ConfigSource {
	return &core.ConfigSource{ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}}, ResourceApiVersion: core.ApiVersion_V3}
}

func routerFilter() []*hcm.HttpFilter {
	return []*hcm.HttpFilter{{Name: "router", ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: packed(&router.Router{})}}}
}

// prefix is the match of every path.
func prefix() *route.RouteMatch {
	return &route.RouteMatch{PathSpecifier: &route.RouteMatch_Prefix{Prefix: "/"}}
}

func clientListener() *listener.Listener {
	return &listener.Listener{Name: "merakid.test", ApiListener: &listener.ApiListener{ApiListener: packed(&hcm.HttpConnectionManager{
		RouteSpecifier: &hcm.HttpConnectionManager_Rds{Rds: &hcm.Rds{ConfigSource: ads(), RouteConfigName: "routes"}},
		HttpFilters:    routerFilter(),
	})}}
}

func clientRoutes() *route.RouteConfiguration {
	return &route.RouteConfiguration{Name: "routes", VirtualHosts: []*route.VirtualHost{{
		Name: "all", Domains: []string{"merakid.test"},
		Routes: []*route.Route{{Match: prefix(), Action: &route.Route_Route{Route: &route.RouteAction{
			ClusterSpecifier: &route.RouteAction_Cluster{Cluster: "broker"},
		}}}},
	}}}
}

func brokerCluster() *cluster.Cluster {
	return &cluster.Cluster{
		Name: "broker", ConnectTimeout: durationpb.New(5 * time.Second),
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_EDS},
		EdsClusterConfig:     &cluster.Cluster_EdsClusterConfig{EdsConfig: ads(), ServiceName: "broker"},
		LbPolicy:             cluster.Cluster_ROUND_ROBIN,
	}
}

func endpoints(addresses []string) *endpoint.ClusterLoadAssignment {
	var all []*endpoint.LbEndpoint
	for _, a := range addresses {
		all = append(all, &endpoint.LbEndpoint{HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{Address: socket(a)}}})
	}
	return &endpoint.ClusterLoadAssignment{ClusterName: "broker", Endpoints: []*endpoint.LocalityLbEndpoints{{
		Locality: &core.Locality{Region: "test"}, LbEndpoints: all, LoadBalancingWeight: wrapperspb.UInt32(1),
	}}}
}

func serverListener(address string) *listener.Listener {
	manager := packed(&hcm.HttpConnectionManager{
		RouteSpecifier: &hcm.HttpConnectionManager_RouteConfig{RouteConfig: &route.RouteConfiguration{
			Name: "inbound", VirtualHosts: []*route.VirtualHost{{
				Name: "all", Domains: []string{"*"},
				Routes: []*route.Route{{Match: prefix(), Action: &route.Route_NonForwardingAction{NonForwardingAction: &route.NonForwardingAction{}}}},
			}},
		}},
		HttpFilters: routerFilter(),
	})
	return &listener.Listener{
		Name: "merakid?listening=" + address, Address: socket(address),
		DefaultFilterChain: &listener.FilterChain{Name: "all", Filters: []*listener.Filter{{
			Name: "manager", ConfigType: &listener.Filter_TypedConfig{TypedConfig: manager},
		}}},
	}
}

func socket(address string) *core.Address {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		panic(err) // a test's own address
	}
	n, _ := strconv.Atoi(port)
	return &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
		Address: host, PortSpecifier: &core.SocketAddress_PortValue{PortValue: uint32(n)},
	}}}
}
