package main

import (
	"context"
	"encoding/pem"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
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
