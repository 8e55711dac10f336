package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/merakibroker/merakibroker/cmd/internal/config"
)

// Where the broker listens on this machine unless it is configured otherwise.
const (
	operatorsPort = "127.0.0.1:9090"
	callersPort   = "127.0.0.1:50051"
)

// mostAnswer is what an answer may have, in bytes: the broker's own bound is below.
const mostAnswer = 128 << 20

// A connection says where the broker is and how to reach it.
type connection struct {
	address       string
	tls           bool
	ca, cert, key string
	tokenFile     string
	tokenInClear  bool
}

func (c *connection) flags(f *pflag.FlagSet) {
	f.StringVar(&c.address, "address", "", "`host:port` of the broker (default "+operatorsPort+", and "+callersPort+" for what calls the Dashboard)")
	f.BoolVar(&c.tls, "tls", false, "connect with TLS; --ca, --cert and --key switch it on, too")
	f.StringVar(&c.ca, "ca", "", "`file` of the authorities that the broker's certificate is checked with (default the system's)")
	f.StringVar(&c.cert, "cert", "", "`file` of the client certificate")
	f.StringVar(&c.key, "key", "", "`file` of its key")
	f.StringVar(&c.tokenFile, "token-file", "", "`file` of a token, sent as authorization: Bearer")
	f.BoolVar(&c.tokenInClear, "token-in-clear", false, "send the token without TLS to another machine: for a mesh that encrypts")
}

// dial connects to the broker: to --address, or to the usual one.
func (a *app) dial(usual string) (*grpc.ClientConn, error) {
	c := &a.connection
	address := cmp.Or(c.address, usual)
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, &misuse{fmt.Sprintf("--address is %q, which is not host:port", address)}
	}
	transport, encrypted, err := c.transport()
	if err != nil {
		return nil, err
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(transport), grpc.WithUserAgent("merakictl"),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(mostAnswer))}
	if c.tokenFile != "" {
		token, err := os.ReadFile(c.tokenFile)
		if err != nil {
			return nil, &misuse{"--token-file: " + err.Error()}
		}
		if !encrypted && !c.tokenInClear && !config.Loopback(address) {
			return nil, &misuse{fmt.Sprintf("the token could be read on the way to %s: use --tls, or --token-in-clear behind a mesh that encrypts", address)}
		}
		options = append(options, grpc.WithPerRPCCredentials(bearer(strings.TrimSpace(string(token)))))
	}
	conn, err := grpc.NewClient("dns:///"+address, options...)
	if err != nil {
		return nil, &misuse{"--address: " + err.Error()}
	}
	return conn, nil
}

// transport is how the connection is made, and whether it is encrypted.
func (c *connection) transport() (credentials.TransportCredentials, bool, error) {
	if !c.tls && c.ca == "" && c.cert == "" && c.key == "" {
		return insecure.NewCredentials(), false, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.ca != "" {
		text, err := os.ReadFile(c.ca)
		if err != nil {
			return nil, false, &misuse{"--ca: " + err.Error()}
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, false, &misuse{fmt.Sprintf("--ca: %s holds no certificate in PEM", c.ca)}
		}
	}
	if c.cert != "" || c.key != "" {
		pair, err := tls.LoadX509KeyPair(c.cert, c.key)
		if err != nil {
			return nil, false, &misuse{"--cert and --key: " + err.Error()}
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(config), true, nil
}

// A bearer is a token. Whether it may be sent without TLS dial has decided.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return false }

// ask connects to a service of the operator's port, and gives one question its time;
// done ends both.
func ask[C any](a *app, ctx context.Context, service func(grpc.ClientConnInterface) C) (_ context.Context, client C, done func(), err error) {
	conn, err := a.dial(operatorsPort)
	if err != nil {
		return nil, client, nil, err
	}
	ctx, cancel := a.within(ctx)
	return ctx, service(conn), func() { cancel(); _ = conn.Close() }, nil
}
