// Command merakisim serves a simulated Meraki Dashboard API: organizations,
// networks and devices that hang together, the real limits, paging and error
// bodies, and faults on demand.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// drainTime is how long requests under way may take when the server stops.
const drainTime = 5 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "merakisim:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	c, err := read(args, out)
	if err != nil {
		return err
	}
	served, err := contract.Load()
	if err != nil {
		return err
	}
	sim, err := sandbox.New(served, c.sim)
	if err != nil {
		return err
	}
	var open []net.Listener
	defer func() {
		for _, l := range open {
			_ = l.Close() // of those that are served, the server has closed it
		}
	}()
	for _, at := range c.listen {
		l, err := net.Listen("tcp", at.address)
		if err != nil {
			return fmt.Errorf("-listen: %w", err)
		}
		open = append(open, l)
	}
	base := "http://" + open[0].Addr().String()
	limits := "limits off"
	if !c.sim.LimitsOff {
		limits = strconv.FormatFloat(c.sim.OrgRate, 'g', -1, 64) + " requests a second for an organization"
	}
	fmt.Fprintf(out, "A simulated Meraki Dashboard API: %d organizations of %d networks of %d devices, %s\n",
		max(0, c.sim.Organizations), max(0, c.sim.NetworksPerOrganization), max(0, c.sim.DevicesPerNetwork), limits)
	fmt.Fprintf(out, "Serving %s/api/v1, statistics and faults at %s/_sim/\n", base, base)
	fmt.Fprintf(out, "Try: curl -H 'Authorization: Bearer any' %s/api/v1/organizations\n", base)

	for i, l := range open[1:] {
		fmt.Fprintf(out, "Serving http://%s/api/v1, source address %q\n", l.Addr(), c.listen[i+1].name)
	}

	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // for proxies that are told to speak it
	servers := make([]*http.Server, len(open))
	done := make(chan error, len(open))
	for i, l := range open {
		servers[i] = &http.Server{Handler: sim.HandlerAt(c.listen[i].name), Protocols: protocols, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
		go func() { done <- servers[i].Serve(l) }()
	}
	left := len(servers)
	select {
	case err = <-done:
		left--
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	for _, srv := range servers {
		if srv.Shutdown(drain) != nil {
			_ = srv.Close() // what is still under way is cut off
		}
	}
	for range left {
		<-done
	}
	return err
}
