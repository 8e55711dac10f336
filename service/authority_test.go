package service_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/credential"
	"github.com/merakibroker/merakibroker/service/credential/secretfile"
)

// An authority signs certificates for tests.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert, a.pem = sign(t, template, template, &a.key.PublicKey, a.key)
	return a
}

// A leaf is a certificate with its key.
type leaf struct {
	cert, key []byte // PEM
	pair      tls.Certificate
}

// issue signs a certificate for server and client alike.
func (a *authority) issue(serial int64, end time.Time, uris ...string) leaf {
	a.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: end,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	for _, text := range uris {
		u, err := url.Parse(text)
		if err != nil {
			a.t.Fatal(err)
		}
		template.URIs = append(template.URIs, u)
	}
	key := newKey(a.t)
	_, certPEM := sign(a.t, template, a.cert, &key.PublicKey, a.key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	out := leaf{cert: certPEM, key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})}
	if out.pair, err = tls.X509KeyPair(out.cert, out.key); err != nil {
		a.t.Fatal(err)
	}
	return out
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, template, parent *x509.Certificate, public any, by *ecdsa.PrivateKey) (*x509.Certificate, []byte) {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, by)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// secrets are files that a server reads again when they change.
type secrets struct {
	t       *testing.T
	dir     string
	watcher *secretfile.Watcher
	loaded  chan string // groups whose new contents are in use
}

func newSecrets(t *testing.T) *secrets {
	t.Helper()
	s := &secrets{t: t, dir: t.TempDir(), loaded: make(chan string, 100)}
	s.watcher = secretfile.New(secretfile.Config{Interval: time.Second, Log: discard(), Observe: func(group string, o secretfile.Outcome) {
		if o == secretfile.Loaded {
			s.loaded <- group
		}
	}})
	t.Cleanup(s.watcher.Close)
	return s
}

func (s *secrets) path(name string) string { return filepath.Join(s.dir, name) }

func (s *secrets) write(name string, contents []byte) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), contents, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// use waits until what has been written is in use.
func (s *secrets) use(group string) {
	s.t.Helper()
	late := time.After(20 * time.Second)
	for {
		select {
		case got := <-s.loaded:
			if got == group {
				return
			}
		case <-late:
			s.t.Fatalf("%s: the new contents are not in use", group)
		}
	}
}

// certificate writes the server's certificate, its key, and whose clients it lets in.
func (s *secrets) certificate(l leaf, clients ...*authority) {
	s.t.Helper()
	var bundle []byte
	for _, a := range clients {
		bundle = append(bundle, a.pem...)
	}
	s.write("tls.crt", l.cert)
	s.write("tls.key", l.key)
	s.write("ca.crt", bundle)
}

// serve makes a server use the certificate of the files.
func (s *secrets) serve(c *service.Config) {
	s.t.Helper()
	certificates, err := credential.NewCertificates(credential.TLS{
		CertificateFile: s.path("tls.crt"), KeyFile: s.path("tls.key"), ClientCAFile: s.path("ca.crt"),
	}, s.watcher)
	if err != nil {
		s.t.Fatal(err)
	}
	c.Options = append(c.Options, grpc.Creds(credentials.NewTLS(certificates.ServerConfig())))
}

// dial connects to a house as the owner of a certificate; nil for none.
func dial(t *testing.T, h *harness, as *leaf, trusted ...*authority) *grpc.ClientConn {
	t.Helper()
	pool := x509.NewCertPool()
	for _, a := range trusted {
		pool.AddCert(a.cert)
	}
	config := &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}
	if as != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &as.pair, nil }
	}
	conn, err := grpc.NewClient(h.address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}
