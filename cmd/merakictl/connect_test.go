package main

import (
	"encoding/pem"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestConnection: TLS with an authority of one's own, and a token that only goes where
// nobody else reads it.
func TestConnection(t *testing.T) {
	web := httptest.NewTLSServer(nil) // for its certificate
	certificate := web.TLS.Certificates[0]
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	web.Close()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("very-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 1)
	server := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&certificate)), grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		md, _ := metadata.FromIncomingContext(s.Context())
		said <- strings.Join(md.Get("authorization"), ",")
		return status.Error(codes.NotFound, "it came")
	}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-served })
	at := l.Addr().String()

	r := (*bench)(nil).do(t, "", "health", "--address", at, "--ca", authority, "--token-file", token)
	if r.code != exitNotFound {
		t.Fatalf("%+v", r)
	}
	if got := <-said; got != "Bearer very-secret" {
		t.Errorf("authorization: %q", got)
	}
	for what, row := range map[string]struct {
		args string
		code int
		says string
	}{
		"an authority that is not known": {"--tls", exitUnreachable, "certificate"},
		"no TLS":                         {"", exitUnreachable, "--tls connects with TLS"},
		"a key without a certificate":    {"--key " + token, exitMisuse, "--cert and --key"},
		"no certificate in it":           {"--ca " + token, exitMisuse, "holds no certificate"},
		"a token to another machine":     {"--address 192.0.2.1:1 --token-file " + token, exitMisuse, "could be read"},
	} {
		r := (*bench)(nil).do(t, "", append([]string{"health", "--address", at}, strings.Fields(row.args)...)...)
		if r.code != row.code || !strings.Contains(r.err, row.says) || strings.Contains(r.err, "very-secret") {
			t.Errorf("%s: %+v", what, r)
		}
	}
}
