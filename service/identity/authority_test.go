package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// An authority signs certificates for tests.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert = signed(t, template, template, &a.key.PublicKey, a.key)
	return a
}

// issue signs a certificate with the URIs, for server and client alike.
func (a *authority) issue(end time.Time, uris ...string) (tls.Certificate, *x509.Certificate) {
	a.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: end,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	for _, s := range uris {
		u, err := url.Parse(s)
		if err != nil {
			a.t.Fatal(err)
		}
		template.URIs = append(template.URIs, u)
	}
	key := newKey(a.t)
	c := signed(a.t, template, a.cert, &key.PublicKey, a.key)
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key}, c
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func signed(t *testing.T, template, parent *x509.Certificate, public any, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, by)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A visit is what the resolver gets to see of an RPC.
type visit struct {
	addr     net.Addr          // nil for 192.0.2.7
	cert     *x509.Certificate // that the handshake verified
	unproven *x509.Certificate // that it did not
	md       []string          // pairs
}

func (v visit) context() context.Context {
	p := &peer.Peer{Addr: v.addr}
	if v.addr == nil {
		p.Addr = tcp("192.0.2.7")
	}
	var info credentials.TLSInfo
	switch {
	case v.cert != nil:
		info.State.PeerCertificates = []*x509.Certificate{v.cert}
		info.State.VerifiedChains = [][]*x509.Certificate{{v.cert}}
		p.AuthInfo = info
	case v.unproven != nil:
		info.State.PeerCertificates = []*x509.Certificate{v.unproven}
		p.AuthInfo = info
	}
	ctx := peer.NewContext(context.Background(), p)
	return metadata.NewIncomingContext(ctx, metadata.Pairs(v.md...))
}

func tcp(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 40000} }

// withURI is an authority's own certificate that names a workload.
func withURI(a *authority, id string) *x509.Certificate {
	a.t.Helper()
	u, err := url.Parse(id)
	if err != nil {
		a.t.Fatal(err)
	}
	template := *a.cert
	template.URIs = []*url.URL{u}
	return signed(a.t, &template, a.cert, &a.key.PublicKey, a.key)
}
