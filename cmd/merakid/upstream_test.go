package main

import (
	"bufio"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// TestPrivateAuthority: behind an egress proxy that opens TLS, the upstream's
// certificate is of an authority that only the configuration knows. The certificate
// of a second server shows that the system's authorities do not stand for it.
func TestPrivateAuthority(t *testing.T) {
	t.Parallel()
	c, err := contract.Load()
	if err != nil {
		t.Fatal(err)
	}
	box, err := sandbox.New(c, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(box.Handler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		config string
		want   codes.Code
	}{"trusted": {"upstream_ca_file: " + file + "\n", codes.OK}, "unknown": {"", codes.Unavailable}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := launch(t, "upstream: "+s.URL+"/api/v1\n"+row.config, "MERAKI_DASHBOARD_API_KEY=0123456789abcdef0123456789abcdef01234567")
			conn, err := grpc.NewClient(p.listen, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err = brokerv1.NewBrokerServiceClient(conn).Call(ctx, &brokerv1.CallRequest{Method: "GET", Path: "/organizations"})
			if status.Code(err) != row.want {
				t.Errorf("%v; want %v", err, row.want)
			}
		})
	}
}

// TestStrayAnswerIsNotQuoted: net/http prints what an upstream sends unasked. The log
// says that it came, and not what it was.
func TestStrayAnswerIsNotQuoted(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]HTTP/1.1 400 No\r\nX: %s\r\n\r\n", r.Header.Get("Authorization"))
			}
			_, _ = io.Copy(io.Discard, c) // until the other end has enough
			_ = c.Close()
		}
	}()
	p := launch(t, "upstream: http://"+l.Addr().String()+"/api/v1\n")
	conn, err := grpc.NewClient(p.listen, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := brokerv1.NewBrokerServiceClient(conn).Call(ctx, &brokerv1.CallRequest{Method: "GET", Path: "/organizations"}); err != nil {
		t.Fatal(err)
	}
	p.await(ctx, "Unsolicited response")
	if said := p.said(); strings.Contains(said, "0123456789") || !strings.Contains(said, "a library says") {
		t.Errorf("the log quotes what came:\n%s", said)
	}
}
