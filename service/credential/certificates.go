package credential

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/merakibroker/merakibroker/service/credential/secretfile"
	"github.com/merakibroker/merakibroker/service/setting"
)

// TLS says with which certificate the broker serves, and whose clients
// it lets in. All files are PEM and are re-read when they change; connections
// that are open stay as they are until their age ends them.
type TLS struct {
	// CertificateFile holds the server's certificate and the intermediate ones
	// behind it. Required.
	CertificateFile string `yaml:"certificate_file" jsonschema:"required,minLength=1"`
	// KeyFile holds its private key. Required.
	KeyFile string `yaml:"key_file" jsonschema:"required,minLength=1"`
	// ClientCAFile holds the authorities that sign clients' certificates.
	ClientCAFile string `yaml:"client_ca_file" jsonschema:"minLength=1"`
	// ClientAuth: "require" lets in only clients with a certificate that an
	// authority of ClientCAFile signed; "optional" also those without one, but not
	// those with a foreign one; "none" asks for none. When absent: require with a
	// ClientCAFile, none without.
	ClientAuth string `yaml:"client_auth" jsonschema:"enum=require,enum=optional,enum=none"`
	// MinVersion of TLS: "1.3" when absent, or "1.2".
	MinVersion string `yaml:"min_version" jsonschema:"enum=1.2,enum=1.3"`
}

// On reports whether anything is configured; without, the server speaks plain text.
func (c *TLS) On() bool { return *c != TLS{} }

// Validate says what is wrong, by key. It reads no files.
func (c *TLS) Validate() error {
	var wrong setting.Errors
	if c.CertificateFile == "" {
		wrong.Wrong("certificate_file", "is required")
	}
	if c.KeyFile == "" {
		wrong.Wrong("key_file", "is required")
	}
	_, err := c.minVersion()
	wrong.Add("min_version", err)
	auth, err := c.clientAuth()
	switch {
	case err != nil:
		wrong.Add("client_auth", err)
	case auth != tls.NoClientCert && c.ClientCAFile == "":
		wrong.Wrong("client_ca_file", "is required with client_auth: %s", c.ClientAuth)
	case auth == tls.NoClientCert && c.ClientCAFile != "":
		wrong.Wrong("client_auth", "none does not go with a client_ca_file, which would not be used")
	}
	return wrong.Err()
}

func (c *TLS) minVersion() (uint16, error) {
	switch c.MinVersion {
	case "", "1.3":
		return tls.VersionTLS13, nil
	case "1.2":
		return tls.VersionTLS12, nil
	}
	return 0, fmt.Errorf("%q is not one of 1.2, 1.3", c.MinVersion)
}

func (c *TLS) clientAuth() (tls.ClientAuthType, error) {
	switch c.ClientAuth {
	case "require":
		return tls.RequireAndVerifyClientCert, nil
	case "optional":
		return tls.VerifyClientCertIfGiven, nil
	case "none":
		return tls.NoClientCert, nil
	case "":
		if c.ClientCAFile != "" {
			return tls.RequireAndVerifyClientCert, nil
		}
		return tls.NoClientCert, nil
	}
	return 0, fmt.Errorf("%q is not one of require, optional, none", c.ClientAuth)
}

// Certificates gives the TLS configuration of the moment to each handshake.
type Certificates struct {
	base    *tls.Config
	current atomic.Pointer[tls.Config]
}

// NewCertificates reads the files and has them re-read when they change. A new
// certificate that has expired, does not belong to its key, or comes with a
// bundle of authorities that cannot be read, is refused whole: the files are
// taken together or not at all.
func NewCertificates(c TLS, files *secretfile.Watcher) (*Certificates, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	version, err := c.minVersion()
	if err != nil {
		return nil, err
	}
	auth, err := c.clientAuth()
	if err != nil {
		return nil, err
	}
	s := &Certificates{base: &tls.Config{
		MinVersion: version,
		ClientAuth: auth,
		NextProtos: []string{"h2"},
		// A resumed session would not show its certificate again, and would go on
		// past a change of authorities. gRPC connects seldom and stays.
		SessionTicketsDisabled: true,
	}}
	paths := []string{c.CertificateFile, c.KeyFile}
	if c.ClientCAFile != "" {
		paths = append(paths, c.ClientCAFile)
	}
	if err := files.Add(secretfile.Group{Name: "tls certificates", Paths: paths, Load: s.load}); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Certificates) load(contents [][]byte) error {
	next := s.base.Clone()
	pair, err := tls.X509KeyPair(contents[0], contents[1])
	if err != nil {
		// The library's text names types and mismatches, never contents.
		return setting.Wrong("certificate_file", "does not go with key_file: %s", err)
	}
	if now := time.Now(); now.After(pair.Leaf.NotAfter) {
		return setting.Wrong("certificate_file", "expired at %s", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	next.Certificates = []tls.Certificate{pair}
	if len(contents) > 2 {
		if next.ClientCAs, err = authorities(contents[2]); err != nil {
			return setting.Below("client_ca_file", err)
		}
	}
	s.current.Store(next)
	return nil
}

// authorities reads a bundle strictly: one certificate that cannot be read, or is
// no authority's, is a mistake that must not pass as a shorter bundle.
func authorities(bundle []byte) (*x509.CertPool, error) {
	pool, n := x509.NewCertPool(), 0
	for rest := bundle; ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		n++
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("PEM block %d is no certificate", n)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		switch {
		case err != nil:
			return nil, fmt.Errorf("certificate %d cannot be read", n)
		case !c.IsCA:
			return nil, fmt.Errorf("certificate %d is not an authority's", n)
		}
		pool.AddCert(c)
	}
	switch {
	case n == 0:
		return nil, errors.New("holds no certificate")
	case bytes.Count(bundle, []byte("-----BEGIN")) != n: // the decoder passes over what is broken
		return nil, errors.New("holds a block that cannot be read")
	}
	return pool, nil
}

// ServerConfig gives the configuration for a server: it asks for the files' state
// of the moment at each handshake.
func (s *Certificates) ServerConfig() *tls.Config {
	c := s.current.Load().Clone()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.current.Load(), nil }
	return c
}
