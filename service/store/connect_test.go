package store

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/merakibroker/merakibroker/service/store/storetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// patience is a timeout that a busy machine keeps, too, when nothing is wrong.
const patience = 30 * time.Second

// connect opens connections that end with the test.
func connect(t *testing.T, c Config) goredis.UniversalClient {
	t.Helper()
	if c.Timeout == 0 {
		c.Timeout = patience
	}
	client, err := Connect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

func password(name, word string) Credentials {
	return func(context.Context) (string, string, error) { return name, word, nil }
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config Config
		says   string // nothing for right
	}{
		{Config{Addresses: []string{"redis:6379"}}, ""},
		{Config{Addresses: []string{"[::1]:6379"}, Database: 3}, ""},
		{Config{Addresses: []string{"a:1", "b:2"}, Master: "budgets", Database: 3, SentinelCredentials: password("", "x")}, ""},
		{Config{Addresses: []string{"a:1", "b:65535"}}, ""},
		{Config{}, "addresses are missing"},
		{Config{Addresses: []string{""}}, `address "" is not host:port`},
		{Config{Addresses: []string{"redis"}}, `address "redis" is not host:port`},
		{Config{Addresses: []string{"redis:6379", "redis"}}, `address "redis" is not host:port`},
		{Config{Addresses: []string{":6379"}}, "it needs a host"},
		{Config{Addresses: []string{"redis:"}}, "a port from 1 to 65535"},
		{Config{Addresses: []string{"redis:0"}}, "a port from 1 to 65535"},
		{Config{Addresses: []string{"redis:65536"}}, "a port from 1 to 65535"},
		{Config{Addresses: []string{"redis:redis"}}, "a port from 1 to 65535"},
		{Config{Addresses: []string{"redis://redis:6379"}}, "is not host:port"},
		{Config{Addresses: []string{"a:1"}, Master: "m", Cluster: true}, "exclude each other"},
		{Config{Addresses: []string{"a:1"}, Database: -1}, "not below 0"},
		{Config{Addresses: []string{"a:1"}, Database: 1, Cluster: true}, "a cluster has only database 0"},
		{Config{Addresses: []string{"a:1", "b:1"}, Database: 1}, "a cluster has only database 0"},
		{Config{Addresses: []string{"a:1"}, SentinelCredentials: password("", "x")}, "no master to ask them for"},
		{Config{Addresses: []string{"a:1"}, Timeout: -1}, "give one above 0"},
	} {
		err := c.config.Check()
		if c.says == "" && (err != nil || c.config.Timeout != 50*time.Millisecond) || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%+v: %v, want it to say %q", c.config, err, c.says)
		}
	}
	if _, err := Connect(t.Context(), Config{Addresses: []string{"nowhere"}}); err == nil {
		t.Error("connected to an address without a port")
	}
}

// Behind sentinels, which have a password of their own, the master is found by its
// name, and the database is the one that was asked for.
func TestSentinel(t *testing.T) {
	t.Parallel()
	s := storetest.Serve(t, "--requirepass", "of the server")
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil,
		"sentinel monitor budgets 127.0.0.1 %d 1\nsentinel auth-pass budgets \"of the server\"\nrequirepass \"of the sentinel\"\n", s.Port()), 0o600); err != nil {
		t.Fatal(err)
	}
	sentinel := storetest.Serve(t, file, "--sentinel")
	config := Config{
		Addresses: []string{sentinel.Address()}, Master: "budgets", Database: 5,
		Credentials: password("", "of the server"), SentinelCredentials: password("", "of the sentinel"),
	}
	client := connect(t, config)
	if err := client.Set(t.Context(), "k", "v", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	direct := goredis.NewClient(&goredis.Options{Addr: s.Address(), DB: 5, Password: "of the server"})
	defer func() { _ = direct.Close() }()
	if v, err := direct.Get(t.Context(), "k").Result(); v != "v" {
		t.Errorf("database 5 has %q, %v", v, err)
	}
	config.SentinelCredentials = password("", "another")
	if err := connect(t, config).Get(t.Context(), "k").Err(); err == nil || !strings.Contains(err.Error(), "budgets (sentinels "+sentinel.Address()+"), a sentinel, does not take the connection: check store.sentinel_username and store.sentinel_password_file") {
		t.Errorf("a sentinel and the wrong password: %v", err)
	}
	config.SentinelCredentials = func(context.Context) (string, string, error) { return "", "", errors.New("no such file") }
	if _, err := Connect(t.Context(), config); err == nil || !strings.Contains(err.Error(), "credentials for the sentinels: no such file") {
		t.Errorf("credentials that cannot be read: %v", err)
	}
}

// A password is asked for with every connection, and may change. What the store says
// to a wrong one is said with what to do.
func TestCredentials(t *testing.T) {
	t.Parallel()
	s := storetest.Serve(t)
	if err := connect(t, Config{Addresses: []string{s.Address()}}).Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		credentials Credentials
		setup       []any
		database    int
		says        string
	}{
		{password("broker", "wrong"), []any{"ACL", "SETUSER", "broker", "on", ">right", "~mine:*", "+@all"}, 0, "check store.username and store.password_file"},
		{password("broker", "right"), nil, 0, "needs all commands on the keys below store.prefix"},
		{nil, nil, 99, "check store.database"},
		{nil, []any{"CONFIG", "SET", "requirepass", "secret"}, 0, "set store.password_file"},
	} {
		if c.setup != nil {
			if err := s.Client().Do(t.Context(), c.setup...).Err(); err != nil {
				t.Fatal(err)
			}
		}
		client := connect(t, Config{Addresses: []string{s.Address()}, Credentials: c.credentials, Database: c.database})
		err := client.Get(t.Context(), "another's").Err()
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want it to say %q", err, c.says)
		}
		if _, err := client.Pipelined(t.Context(), func(p goredis.Pipeliner) error { return p.Get(t.Context(), "another's").Err() }); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("in a pipeline: %v, want it to say %q", err, c.says)
		}
	}
	word := "wrong"
	client := connect(t, Config{Addresses: []string{s.Address()}, Credentials: func(context.Context) (string, string, error) { return "", word, nil }})
	if client.Ping(t.Context()).Err() == nil {
		t.Error("connected with a wrong password")
	}
	word = "secret"
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Errorf("the password has been mended, and: %v", err)
	}
}

// The store's certificate comes from an authority of its own.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir, port := t.TempDir(), storetest.FreePort(t)
	authority := certificate(t, dir)
	storetest.Serve(t, "--tls-port", strconv.Itoa(port), "--tls-auth-clients", "no",
		"--tls-cert-file", filepath.Join(dir, "cert.pem"), "--tls-key-file", filepath.Join(dir, "key.pem"), "--tls-ca-cert-file", filepath.Join(dir, "cert.pem"))
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	for name, c := range map[string]struct {
		address string
		tls     *tls.Config
		says    string
	}{
		"trusted":              {address, &tls.Config{RootCAs: authority, MinVersion: tls.VersionTLS12}, ""},
		"not trusted":          {address, &tls.Config{MinVersion: tls.VersionTLS12}, "set store.ca_file"},
		"a server without TLS": {storetest.Serve(t).Address(), &tls.Config{MinVersion: tls.VersionTLS12}, "does not answer in time; where it never does, check store.addresses and store.tls"},
		"another's name":       {net.JoinHostPort("localhost", strconv.Itoa(port)), &tls.Config{RootCAs: authority, MinVersion: tls.VersionTLS12, ServerName: "redis.example"}, "one of its names"},
	} {
		err := connect(t, Config{Addresses: []string{c.address}, TLS: func() *tls.Config { return c.tls }}).Ping(t.Context()).Err()
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want it to say %q", name, err, c.says)
		}
	}
}

// certificate writes a certificate for this machine, and returns who vouches for it.
func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return pool
}
