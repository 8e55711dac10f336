package credential

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/service/credential/secretfile"
)

// A bench is a TLS server on loopback whose certificates are files.
type bench struct {
	t      *testing.T
	config TLS
	files  *secretfile.Watcher
	took   chan secretfile.Outcome
	certs  *Certificates
	addr   string
}

// newBench serves with l, and lets in clients of ca (nil: no client authority).
func newBench(t *testing.T, l leaf, ca *authority, config TLS) *bench {
	t.Helper()
	dir := t.TempDir()
	b := &bench{t: t, config: config, took: make(chan secretfile.Outcome, 1)}
	b.config.CertificateFile, b.config.KeyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	writeFile(t, b.config.CertificateFile, l.certPEM)
	writeFile(t, b.config.KeyFile, l.keyPEM)
	if ca != nil {
		b.config.ClientCAFile = filepath.Join(dir, "ca.crt")
		writeFile(t, b.config.ClientCAFile, ca.pem)
	}
	b.files = secretfile.New(secretfile.Config{Interval: time.Hour, Log: quiet(), Observe: func(_ string, o secretfile.Outcome) { b.took <- o }})
	t.Cleanup(b.files.Close)
	var err error
	if b.certs, err = NewCertificates(b.config, b.files); err != nil {
		t.Fatal(err)
	}
	b.serve()
	return b
}

// serve answers each connection whose handshake succeeds with one byte.
func (b *bench) serve() {
	b.t.Helper()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	b.addr = plain.Addr().String()
	listener := tls.NewListener(plain, b.certs.ServerConfig())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
				if c.(*tls.Conn).Handshake() == nil {
					_, _ = c.Write([]byte{1})
				}
			})
		}
	})
	b.t.Cleanup(func() { _ = listener.Close(); wg.Wait() })
}

// dial makes a connection and waits for the byte. It gives the serial number of
// the server's certificate.
func (b *bench) dial(server *authority, client *leaf, version uint16) (serial int64, err error) {
	config := &tls.Config{RootCAs: server.pool(), ServerName: "127.0.0.1", MaxVersion: version}
	if client != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &client.pair, nil }
	}
	c, err := tls.Dial("tcp", b.addr, config)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		return 0, err
	}
	return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
}

// put writes new contents the way of a careful tool, and has them looked at.
func (b *bench) put(contents map[string]string) secretfile.Outcome {
	b.t.Helper()
	for path, text := range contents {
		writeFile(b.t, path+".next", text)
		if err := os.Rename(path+".next", path); err != nil {
			b.t.Fatal(err)
		}
	}
	b.files.Poke()
	return <-b.took
}

func TestHandshakes(t *testing.T) {
	t.Parallel()
	ours, foreign := newAuthority(t, "ours"), newAuthority(t, "foreign")
	hour := time.Now().Add(time.Hour)
	server := ours.issue(1, hour)
	good, stranger, expired := ours.issue(2, hour), foreign.issue(3, hour), ours.issue(4, time.Now().Add(-time.Minute))

	benches := map[string]*bench{
		"require":  newBench(t, server, ours, TLS{}),
		"optional": newBench(t, server, ours, TLS{ClientAuth: "optional"}),
		"none":     newBench(t, server, nil, TLS{}),
		"1.2":      newBench(t, server, ours, TLS{MinVersion: "1.2"}),
	}
	cases := []struct {
		bench, name string
		client      *leaf
		version     uint16
		ok          bool
	}{
		{"require", "good", &good, 0, true},
		{"require", "no certificate", nil, 0, false},
		{"require", "foreign", &stranger, 0, false},
		{"require", "expired", &expired, 0, false},
		{"require", "TLS 1.2", &good, tls.VersionTLS12, false},
		{"optional", "good", &good, 0, true},
		{"optional", "no certificate", nil, 0, true},
		{"optional", "foreign", &stranger, 0, false},
		{"optional", "expired", &expired, 0, false},
		{"none", "no certificate", nil, 0, true},
		{"1.2", "TLS 1.2", &good, tls.VersionTLS12, true},
		{"1.2", "TLS 1.1", &good, tls.VersionTLS11, false},
	}
	for _, c := range cases {
		t.Run(c.bench+"/"+c.name, func(t *testing.T) {
			if _, err := benches[c.bench].dial(ours, c.client, c.version); (err == nil) != c.ok {
				t.Errorf("error %v, want success: %v", err, c.ok)
			}
		})
	}
}

// Every handshake succeeds while certificate, key and authorities change, and
// what has been taken out of the bundle is let in no more.
func TestCertificatesChangeUnderLoad(t *testing.T) {
	t.Parallel()
	ours, next := newAuthority(t, "ours"), newAuthority(t, "next")
	hour := time.Now().Add(time.Hour)
	client, nextClient := ours.issue(100, hour), next.issue(101, hour)
	b := newBench(t, ours.issue(1, hour), ours, TLS{})

	var handshakes atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := b.dial(ours, &client, 0); err != nil {
					t.Errorf("a handshake failed: %v", err)
					return
				}
				handshakes.Add(1)
			}
		})
	}
	for serial := int64(2); serial <= 4; serial++ {
		l := ours.issue(serial, hour)
		if o := b.put(map[string]string{
			b.config.CertificateFile: l.certPEM, b.config.KeyFile: l.keyPEM, b.config.ClientCAFile: ours.pem + next.pem,
		}); o != secretfile.Loaded {
			t.Fatalf("outcome %v", o)
		}
		if got, err := b.dial(ours, &client, 0); err != nil || got != serial {
			t.Errorf("the server shows certificate %d (error %v), want %d", got, err, serial)
		}
	}
	close(stop)
	wg.Wait()
	if n := handshakes.Load(); n < 10 {
		t.Errorf("only %d handshakes were made", n)
	}

	if _, err := b.dial(ours, &nextClient, 0); err != nil {
		t.Errorf("a client of the new authority: %v", err)
	}
	if o := b.put(map[string]string{b.config.ClientCAFile: next.pem}); o != secretfile.Loaded {
		t.Fatalf("outcome %v", o)
	}
	if _, err := b.dial(ours, &client, 0); err == nil {
		t.Error("a client of the authority that was taken out got in")
	}
}

func TestSpoiledCertificatesChangeNothing(t *testing.T) {
	t.Parallel()
	ours := newAuthority(t, "ours")
	hour := time.Now().Add(time.Hour)
	client, other, past := ours.issue(9, hour), ours.issue(2, hour), ours.issue(3, time.Now().Add(-time.Minute))
	b := newBench(t, ours.issue(1, hour), ours, TLS{})
	good := map[string]string{}
	for _, path := range []string{b.config.CertificateFile, b.config.KeyFile, b.config.ClientCAFile} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		good[path] = string(text)
	}
	broken := strings.Replace(ours.pem, "MII", "M!!", 1)
	cases := []struct {
		name string
		put  map[string]string
		want secretfile.Outcome
	}{
		{"key of another certificate", map[string]string{b.config.KeyFile: other.keyPEM}, secretfile.Refused},
		{"expired", map[string]string{b.config.CertificateFile: past.certPEM, b.config.KeyFile: past.keyPEM}, secretfile.Refused},
		{"empty", map[string]string{b.config.CertificateFile: ""}, secretfile.Unreadable},
		{"no authorities", map[string]string{b.config.ClientCAFile: "none"}, secretfile.Refused},
		{"broken block", map[string]string{b.config.ClientCAFile: broken + ours.pem}, secretfile.Refused},
		{"a leaf for an authority", map[string]string{b.config.ClientCAFile: other.certPEM}, secretfile.Refused},
		{"a key for an authority", map[string]string{b.config.ClientCAFile: ours.pem + other.keyPEM}, secretfile.Refused},
	}
	for _, c := range cases {
		if got := b.put(c.put); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if serial, err := b.dial(ours, &client, 0); err != nil || serial != 1 {
			t.Errorf("%s: certificate %d, error %v; want the one before", c.name, serial, err)
		}
		for path, text := range good {
			writeFile(t, path, text)
		}
	}
}

func TestTLSConfig(t *testing.T) {
	t.Parallel()
	pair := TLS{CertificateFile: "c", KeyFile: "k"}
	cases := []struct {
		name   string
		change func(c *TLS)
		says   string
	}{
		{"good", func(*TLS) {}, ""},
		{"good with clients", func(c *TLS) { c.ClientCAFile, c.ClientAuth, c.MinVersion = "ca", "optional", "1.2" }, ""},
		{"no certificate", func(c *TLS) { c.CertificateFile = "" }, "certificate_file: "},
		{"no key", func(c *TLS) { c.KeyFile = "" }, "key_file: "},
		{"version", func(c *TLS) { c.MinVersion = "1.1" }, "min_version: "},
		{"mode", func(c *TLS) { c.ClientAuth = "yes" }, "client_auth: "},
		{"require without authorities", func(c *TLS) { c.ClientAuth = "require" }, "client_ca_file: "},
		{"authorities for nothing", func(c *TLS) { c.ClientAuth, c.ClientCAFile = "none", "ca" }, "client_auth: "},
	}
	for _, c := range cases {
		config := pair
		c.change(&config)
		err := config.Validate()
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.HasPrefix(err.Error(), c.says)) {
			t.Errorf("%s: error %v, want one that begins with %q", c.name, err, c.says)
		}
	}
}
