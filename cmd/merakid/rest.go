package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"

	"github.com/merakibroker/merakibroker/cmd/internal/config"
	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/access"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/outcome"
	"github.com/merakibroker/merakibroker/service/rest"
	"github.com/merakibroker/merakibroker/service/setting"
)

// vendorHost is where clients that have not been told otherwise send their requests,
// and what some write into addresses.
const vendorHost = "api.meraki.com"

// newToken makes a token of the broker's own, and says where its two parts go.
func newToken(name string, out io.Writer) error {
	token, line, err := identity.NewToken(name)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "the token, for the client: %s\nthe line for identity.static_tokens.file, or operators_file: %s\nthe caller in rules: token:%s\n", token, line, name)
	return err
}

// reachableREST says whether REST would be served to whoever reaches it.
func (d *daemon) reachableREST(c *config.Config) error {
	if c.REST == "" || c.Identity.OnREST() || config.Loopback(c.REST) || c.AnonymousEverywhere {
		return nil
	}
	return setting.Wrong("rest", "%s is an address that others can reach, and no source of identity is on: whoever reaches it could spend your budget with your key. Configure identity (static_tokens, path, token, …), or say anonymous_everywhere: true", c.REST)
}

// forwardedBy says whose word counts about the address that a client of REST used.
func (d *daemon) forwardedBy(c *config.Config) (err error) {
	if c.RESTForwarded != nil {
		d.forwarded, err = identity.Proxies("rest_forwarded", *c.RESTForwarded)
	}
	return err
}

// restFace makes the REST face, where it is on.
func (d *daemon) restFace(c *config.Config, contracts *contract.Contract, b *broker.Broker, credentials access.Access, client *dashboard.Client, outcomes *outcome.Keeper, metrics *service.Metrics, log *slog.Logger) {
	if c.REST == "" {
		return
	}
	handler := rest.New(rest.Config{
		Contract: contracts, Broker: b, Access: credentials, Outcomes: outcomes, Below: client.Below,
		Hosts: []string{vendorHost}, MaxRequestBytes: c.MaxRequestBytes, Agents: c.RESTAgents, Forwarded: d.forwarded, Observe: metrics.Requested, Log: log,
	})
	d.rest = rest.NewServer(handler, d.httpCertificates(), log)
}

// httpCertificates is the TLS of the gRPC port, for HTTP; nil without TLS.
func (d *daemon) httpCertificates() *tls.Config {
	if d.certificates == nil {
		return nil
	}
	base := d.certificates.ServerConfig()
	out := base.Clone()
	out.NextProtos = []string{"h2", "http/1.1"}
	if choose := base.GetConfigForClient; choose != nil {
		out.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			config, err := choose(hello)
			if err != nil || config == nil {
				return config, err
			}
			config = config.Clone()
			config.NextProtos = out.NextProtos
			return config, nil
		}
	}
	return out
}

// serveREST serves the REST face on its port until it is shut down.
func (d *daemon) serveREST(l net.Listener) error {
	var err error
	l = rest.Listen(l)
	if d.certificates != nil {
		err = d.rest.ServeTLS(l, "", "")
	} else {
		err = d.rest.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// stopREST lets the requests under way end, within ctx.
func (d *daemon) stopREST(ctx context.Context) {
	if d.rest != nil {
		d.rest.Drain(ctx)
	}
}
