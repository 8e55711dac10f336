// Command plainproxy is a reverse proxy of the standard library that does nothing
// of its own: what any service in Go that passes HTTP on costs at the least.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
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
	if len(args) != 2 {
		return errors.New("it takes the address of the upstream, such as http://127.0.0.1:8080, and a file of certificates to trust, which may be empty")
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
	if args[1] != "" {
		text, err := os.ReadFile(args[1])
		if err != nil {
			return err
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(text) {
			return fmt.Errorf("%s holds no certificate", args[1])
		}
	}
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(upstream) },
	}
	fmt.Printf("serving on %s\n", l.Addr())
	return http.Serve(l, proxy)
}
