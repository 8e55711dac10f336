// Package proxyless is how the broker serves when a control plane tells it to,
// without a proxy beside it: gRPC's own xDS. What the control plane is, and who
// this server is to it, stands in the bootstrap file that GRPC_XDS_BOOTSTRAP
// names, as for every gRPC program. It is a room of its own because of what it
// brings along: half as much again in the binary, and 12 MB more in memory.
package proxyless

import (
	"fmt"
	"log/slog"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	xdscredentials "google.golang.org/grpc/credentials/xds"
	"google.golang.org/grpc/xds"
)

// A Config says how to serve. The zero Config is usable.
type Config struct {
	// Fallback secures connections where the control plane says nothing about
	// it; nil for plain text.
	Fallback credentials.TransportCredentials
	// Serving is told when the control plane lets the server serve, and when it
	// does not any more. It must not block.
	Serving func(bool)
	// Log gets a line for each such change; nil for slog.Default.
	Log *slog.Logger
	// Options are added to those of the server.
	Options []grpc.ServerOption
}

// New makes a server that asks the control plane for everything that Listener,
// route and security resources can say. It fails without a bootstrap file that
// names the template for this server's Listener.
func New(c Config, options ...grpc.ServerOption) (*xds.GRPCServer, error) {
	if c.Fallback == nil {
		c.Fallback = insecure.NewCredentials()
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	secure, err := xdscredentials.NewServerCredentials(xdscredentials.ServerOptions{FallbackCreds: c.Fallback})
	if err != nil {
		return nil, fmt.Errorf("xds: %w", err)
	}
	mode := func(at net.Addr, m xds.ServingModeChangeArgs) {
		on := m.Mode == connectivity.ServingModeServing
		if on {
			c.Log.Info("the control plane lets the server serve", "listener", at.String())
		} else {
			c.Log.Warn("the control plane does not let the server serve", "listener", at.String(), "error", m.Err)
		}
		if c.Serving != nil {
			c.Serving(on)
		}
	}
	all := append(append([]grpc.ServerOption{}, options...), c.Options...)
	return xds.NewGRPCServer(append(all, grpc.Creds(secure), xds.ServingModeCallback(mode))...)
}
