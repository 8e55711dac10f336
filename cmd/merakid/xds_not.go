//go:build !xds

package main

import (
	"errors"
	"log/slog"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/merakibroker/merakibroker/service"
)

// newXDS says what to do: the libraries of xDS make the binary half as large again
// (30 to 44 MB, stripped) and take 12 MB of memory, also of those who do not use
// it, so they are not in the usual build.
func newXDS(credentials.TransportCredentials, func(bool), *slog.Logger, []grpc.ServerOption) (service.GRPC, error) {
	return nil, errors.New("xds is true, and this merakid was built without it: build it with go build -tags xds ./cmd/merakid")
}
