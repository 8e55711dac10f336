package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// A mirror is a sandbox whose answers are kept once they have been made, so that
// who is measured in front of it need not share the processors with the making of
// what it is told. Its limits are off.
type mirror struct {
	contract *contract.Contract
	sandbox  *sandbox.Sandbox
	server   *httptest.Server
	address  string
	method   string // of the RPC that is called
	// authority is a file with the certificate to trust, in PEM; empty where there
	// is no TLS.
	authority string
	asked     atomic.Int64 // requests that came

	// pad is how long answers are at the least, bytes of JSON.
	pad int

	mu   sync.RWMutex
	kept map[string]*httptest.ResponseRecorder
}

// Of a mirror's world.
const (
	mirrorNetworks = 20
	mirrorDevices  = 50
)

// mirror starts one; it ends with the scenario.
func (r *run) mirror(organizations int) (*mirror, error) {
	served, err := contract.Load()
	if err != nil {
		return nil, err
	}
	sim, err := sandbox.New(served, sandbox.Options{
		Organizations: organizations, NetworksPerOrganization: mirrorNetworks, DevicesPerNetwork: mirrorDevices,
		LimitsOff: true, Seed: r.nextSeed(),
	})
	if err != nil {
		return nil, err
	}
	m := served.Operation(question)
	if m == nil {
		return nil, fmt.Errorf("the contract has no operation %s", question)
	}
	out := &mirror{contract: served, sandbox: sim, method: m.Name, kept: make(map[string]*httptest.ResponseRecorder)}
	out.server = httptest.NewUnstartedServer(out.handler(sim.Handler()))
	out.server.Config.ReadHeaderTimeout = 10 * time.Second
	r.closing(out.server.Close)
	if !r.secure {
		out.server.Start()
	} else {
		out.server.StartTLS()
		dir, err := r.bench.directory()
		if err != nil {
			return nil, err
		}
		out.authority = filepath.Join(dir, r.scenario+".pem")
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: out.server.Certificate().Raw})
		if err := os.WriteFile(out.authority, text, 0o600); err != nil {
			return nil, err
		}
	}
	out.address = out.server.Listener.Addr().String()
	return out, nil
}

// trust is how its certificate is checked; nil where there is no TLS.
func (m *mirror) trust() *tls.Config {
	if m.authority == "" {
		return nil
	}
	secure := m.server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	secure.ServerName = "127.0.0.1"
	return secure
}

func (m *mirror) handler(inside http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.asked.Add(1)
		m.mu.RLock()
		kept := m.kept[r.URL.Path]
		m.mu.RUnlock()
		if kept == nil {
			kept = httptest.NewRecorder()
			inside.ServeHTTP(kept, r)
			if n := m.pad - kept.Body.Len(); n > 0 {
				// Space between tokens would be passed over faster than text.
				body := kept.Body.Bytes()
				text := append([]byte(`{"notes":"`), bytes.Repeat([]byte("n"), n)...)
				kept.Body = bytes.NewBuffer(append(append(text, `",`...), body[1:]...))
			}
			if kept.Code == http.StatusOK {
				m.mu.Lock()
				m.kept[r.URL.Path] = kept
				m.mu.Unlock()
			}
		}
		header := w.Header()
		for name, values := range kept.Header() {
			header[name] = values
		}
		header["Content-Length"] = []string{strconv.Itoa(kept.Body.Len())}
		w.WriteHeader(kept.Code)
		_, _ = w.Write(kept.Body.Bytes()) // a client that has left is no concern here
	})
}

// A question asked again and again, prepared in both forms.
type prepared struct {
	path    string
	message []byte // of the RPC
	request []byte // of HTTP/1.1
}

// device prepares the read of one device of an organization's inventory.
func (m *mirror) device(organization, device int) prepared {
	id := m.sandbox.OrganizationID(organization)
	serial := m.sandbox.Serial(organization, device/mirrorDevices%mirrorNetworks, device%mirrorDevices)
	message := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), id)
	message = protowire.AppendString(protowire.AppendTag(message, 2, protowire.BytesType), serial)
	path := "/api/v1/organizations/" + id + "/inventory/devices/" + serial
	return prepared{path: path, message: message, request: []byte("GET " + path + " HTTP/1.1\r\nHost: " + m.address +
		"\r\nUser-Agent: merakibench\r\nAccept: application/json\r\nAuthorization: Bearer the-sandbox-takes-any\r\n\r\n")}
}

// devices prepares n questions over some organizations, each about another device
// as long as there are enough.
func (m *mirror) devices(organizations, n int) []prepared {
	out := make([]prepared, n)
	for i := range out {
		out[i] = m.device(i%organizations, i/organizations)
	}
	return out
}

// warm has the answers made before anybody is measured.
func (m *mirror) warm(ctx context.Context, calls []prepared) error {
	inside := m.handler(m.sandbox.Handler())
	for _, c := range calls {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, c.path, nil)
		r.Header.Set("Authorization", "Bearer the-sandbox-takes-any")
		w := httptest.NewRecorder()
		if inside.ServeHTTP(w, r); w.Code != http.StatusOK {
			return fmt.Errorf("the sandbox answers %d to %s", w.Code, c.path)
		}
	}
	return nil
}

// size is how long the answer to a path is, as far as it has been asked for.
func (m *mirror) size(path string) int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if kept := m.kept[path]; kept != nil {
		return kept.Body.Len()
	}
	return 0
}

// url is the base address that the broker is told.
func (m *mirror) url() string { return m.server.URL + "/api/v1" }

// unlimited is the daemon's budget where limits are not what is measured: more
// than two cores can carry. The daemon takes it in front of a sandbox only.
const unlimited = "budget: {rate: 500000, burst: 500000, address_rate: 500000}\n"

// site is the mirror as the other scenarios know a Dashboard.
func (m *mirror) site() *site {
	return &site{sandbox: m.sandbox, contract: m.contract, url: m.url(), authority: m.authority, organization: m.sandbox.OrganizationID(0)}
}
