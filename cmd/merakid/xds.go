//go:build xds

package main

import (
	"errors"
	"log/slog"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/proxyless"
)

// newXDS makes the server that a control plane tells how to serve.
func newXDS(transport credentials.TransportCredentials, serving func(bool), log *slog.Logger, options []grpc.ServerOption) (service.GRPC, error) {
	if os.Getenv("GRPC_XDS_BOOTSTRAP") == "" && os.Getenv("GRPC_XDS_BOOTSTRAP_CONFIG") == "" {
		return nil, errors.New("xds is true, and GRPC_XDS_BOOTSTRAP names no bootstrap file that says where the control plane is")
	}
	s, err := proxyless.New(proxyless.Config{Fallback: transport, Serving: serving, Log: log}, options...)
	if err != nil {
		return nil, err // not s, which would be a nil inside of an interface
	}
	return s, nil
}
