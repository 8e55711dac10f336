// Command plainproxy is a reverse proxy of the standard library that does nothing
// of its own: what any service in Go that passes HTTP on costs at the least.
package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
)

func main() {
	if err := serve(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "plainproxy:", err)
		os.Exit(1)
	}
}

func serve(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("it takes the address of the upstream, such as http://127.0.0.1:8080")
	}
	upstream, err := url.Parse(args[0])
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	// As many connections kept as the broker keeps; the default of two would make
	// it dial all the time.
	transport := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(upstream) },
	}
	fmt.Printf("serving on %s\n", l.Addr())
	return http.Serve(l, proxy)
}
