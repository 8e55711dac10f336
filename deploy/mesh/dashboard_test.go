//go:build mesh

package mesh

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/service/sandbox"
	"github.com/merakibroker/merakibroker/service/store/storetest"
)

// vendorHost is where clients with a fixed address go.
const vendorHost = "api.meraki.com"

// site signs a certificate for a host, and lays it out as <host>.crt and <host>.key.
func (a *authority) site(t *testing.T, host string) (folder string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.cert, key.Public(), a.key)
	must(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	folder = t.TempDir()
	must(os.WriteFile(filepath.Join(folder, host+".crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(os.WriteFile(filepath.Join(folder, host+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	return folder
}

// TestAClientWithAFixedAddress: one that asks api.meraki.com and nobody else is led to the
// broker by an Envoy with the shipped bootstrap, and stays there from page to page. Its
// token says who it is; what asks for another name gets no connection.
func TestAClientWithAFixedAddress(t *testing.T) {
	const token = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567"
	t.Setenv("MERAKI_DASHBOARD_API_KEY", "the-sandbox-takes-any")
	s, upstream := dashboard(t, sandbox.Options{NetworksPerOrganization: 10, LimitsOff: true})
	rest, folder := storetest.FreePort(t), t.TempDir()
	sum := sha256.Sum256([]byte(token))
	for name, text := range map[string]string{
		"tokens.yaml": "exporter: " + hex.EncodeToString(sum[:]) + "\n",
		"merakid.yaml": fmt.Sprintf("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nrest: %s\nupstream: %s\ndrain: {settle: 0s}\n"+
			"identity: {static_tokens: {file: %s}}\npolicy:\n  - {name: exporter, callers: ['token:exporter'], operations: [{section: '*', verbs: [read]}], organizations: ['*']}\n",
			at(rest), upstream, filepath.Join(folder, "tokens.yaml")),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	broker := start(t, tool(t, "MERAKID"), "-config", filepath.Join(folder, "merakid.yaml"))
	eventually(t, "merakid", broker, func() bool { return strings.Contains(broker.out.String(), "as REST: ") })

	a := newAuthority(t)
	listen, admin := storetest.FreePort(t), storetest.FreePort(t)
	text := shipped(t, "dashboard.yaml")
	text = replace(t, text, "{address: 0.0.0.0, port_value: 8444}", "{address: 127.0.0.1, port_value: "+strconv.Itoa(listen)+"}", 1)
	text = replace(t, text, "{address: 127.0.0.1, port_value: 8081}", "{address: 127.0.0.1, port_value: "+strconv.Itoa(rest)+"}", 1)
	text = replace(t, text, "port_value: 9903", "port_value: "+strconv.Itoa(admin), 1)
	text = replace(t, text, tlsFolder, a.site(t, vendorHost), 2)
	envoy(t, text, admin)

	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if !strings.HasSuffix(address, ":443") {
				t.Errorf("the client goes to %s", address)
			}
			return new(net.Dialer).DialContext(ctx, network, at(listen)) // what DNS and the mesh do
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	ask := func(address, token string) (*http.Response, string, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Cisco-Meraki-API-Key", token)
		req.Header.Set("X-Forwarded-Host", "evil.example") // the client's own word counts for nothing
		resp, err := client.Do(req)
		if err != nil {
			return nil, "", err
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		return resp, string(body), err
	}
	next, networks := "https://"+vendorHost+"/api/v1/organizations/"+s.OrganizationID(0)+"/networks?perPage=3", 0
	for pages := 0; next != "" && pages < 5; pages++ {
		resp, body, err := ask(next, token)
		if err != nil {
			t.Fatal(err)
		}
		var rows []struct{ ID string }
		if err := json.Unmarshal([]byte(body), &rows); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		networks, next = networks+len(rows), ""
		for link := range strings.SplitSeq(resp.Header.Get("Link"), ",") {
			address, relation, _ := strings.Cut(strings.TrimSpace(link), ">; rel=")
			if strings.Trim(relation, `"`) == "next" {
				next = address[1:]
			}
		}
	}
	if networks != 10 {
		t.Errorf("%d networks", networks)
	}
	if resp, body, err := ask("https://"+vendorHost+"/api/v1/organizations", strings.Repeat("f", 40)); err != nil || resp.StatusCode != http.StatusForbidden || !strings.Contains(body, `{"errors":[`) {
		t.Errorf("a key that is no token: %v %s", err, body)
	}
	if resp, _, err := ask("https://other.meraki.com/api/v1/organizations", token); err == nil {
		t.Errorf("another name: %d", resp.StatusCode)
	}
	for agent := range s.Stats().UserAgents {
		if !strings.HasPrefix(agent, "MerakiBroker/") {
			t.Errorf("%s came past the broker", agent)
		}
	}
}
