package rest_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/service/access"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/credential"
	"github.com/merakibroker/merakibroker/service/credential/secretfile"
	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/outcome"
	"github.com/merakibroker/merakibroker/service/rest"
)

// A pipes is a listener in memory, for synthetic time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// A standIn is there for the broker.
type standIn func() (*broker.Answer, error)

func (s standIn) Do(context.Context, *broker.Call) (*broker.Answer, error) { return s() }

// inMemory serves REST on synthetic time with a stand-in for the broker: test gets
// what dials it.
func inMemory(t *testing.T, do standIn, test func(t *testing.T, dial func() net.Conn)) {
	t.Helper()
	inMemoryUntilDrained(t, do, func(t *testing.T, dial func() net.Conn, _ func(context.Context)) { test(t, dial) })
}

// inMemoryUntilDrained is inMemory for a test that drains.
func inMemoryUntilDrained(t *testing.T, do standIn, test func(t *testing.T, dial func() net.Conn, drain func(context.Context))) {
	t.Helper()
	contracts, err := contract.Load()
	if err != nil {
		t.Fatal(err)
	}
	// These have goroutines that wait for the system, outside of synthetic time.
	files := secretfile.New(secretfile.Config{Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(files.Close)
	keys, err := credential.NewStore(credential.Config{Keys: []credential.KeyConfig{{Name: "main", Env: "KEY"}}}, files, func(string) (string, bool) { return brokersKey, true })
	if err != nil {
		t.Fatal(err)
	}
	resolver, err := identity.NewResolver(identity.Config{}, identity.Wiring{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(resolver.Close)
	policy, err := identity.NewPolicy(nil, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		keeper := outcome.New(outcome.Config{})
		handler := rest.New(rest.Config{
			Contract: contracts, Broker: do, Access: access.Access{Resolver: resolver, Policy: policy, Keys: keys}, Outcomes: keeper,
			Below: func(string) (string, bool) { return "", false }, Log: slog.New(slog.DiscardHandler),
		})
		server := rest.NewServer(handler, nil, slog.New(slog.DiscardHandler))
		l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		served := make(chan error, 1)
		go func() { served <- server.Serve(rest.Listen(l)) }()
		test(t, func() net.Conn {
			here, there := net.Pipe()
			l.conns <- there
			return here
		}, func(ctx context.Context) { server.Drain(ctx) })
		_ = server.Close()
		<-served
		keeper.Close()
	})
}

// TestSlowClients: a header, or a body, that does not come ends the connection, and
// what it held is free again.
func TestSlowClients(t *testing.T) {
	none := func() (*broker.Answer, error) {
		t.Error("a call has reached the broker")
		return nil, errors.New("no call may come here")
	}
	inMemory(t, none, func(t *testing.T, dial func() net.Conn) {
		for name, test := range map[string]struct {
			text string
			most time.Duration
		}{
			"nothing":        {"", 10 * time.Second},
			"half a header":  {"GET /api/v1/organizations HTTP/1.1\r\nHost: x\r\nX: ", 10 * time.Second},
			"half a body":    {"POST /api/v1/organizations HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", 31 * time.Second},
			"of a refused":   {"POST /elsewhere HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", 31 * time.Second},
			"half of chunks": {"POST /api/v1/organizations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", 31 * time.Second},
		} {
			here := dial()
			began := time.Now()
			go func() { _, _ = io.WriteString(here, test.text) }()
			text, _ := io.ReadAll(here) // until the other side closes
			if took := time.Since(began); took > test.most {
				t.Errorf("%s: held for %v", name, took)
			}
			if len(text) > 0 && !bytes.HasPrefix(text, []byte("HTTP/1.1 4")) {
				t.Errorf("%s: %s", name, text)
			}
			_ = here.Close()
		}
	})
}

// TestSlowReaders: an answer that came late is still told, and one that is not read
// holds its connection for two minutes.
func TestSlowReaders(t *testing.T) {
	late := func() (*broker.Answer, error) {
		time.Sleep(9 * time.Minute) // in synthetic time
		return &broker.Answer{Status: 200, Body: bytes.Repeat([]byte(" "), 1<<20)}, nil
	}
	inMemory(t, late, func(t *testing.T, dial func() net.Conn) {
		const get = "GET /api/v1/organizations HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
		here := dial()
		go func() { _, _ = io.WriteString(here, get) }()
		resp, err := http.ReadResponse(bufio.NewReader(here), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || len(body) != 1<<20 {
			t.Errorf("%d bytes, %v", len(body), err)
		}
		_ = here.Close()
		here = dial()
		_, _ = io.WriteString(here, get)
		time.Sleep(9*time.Minute + 121*time.Second)
		if text, err := io.ReadAll(here); err == nil && len(text) >= 1<<20 {
			t.Errorf("%d bytes are still there", len(text))
		}
		_ = here.Close()
	})
}

// TestPatienceBeginsWithTheRequest: a client waits from when it began to send, also while
// its body is on the way. It is answered before it gives up.
func TestPatienceBeginsWithTheRequest(t *testing.T) {
	never := func() (*broker.Answer, error) {
		time.Sleep(time.Minute) // in synthetic time
		return nil, errors.New("too late")
	}
	inMemory(t, never, func(t *testing.T, dial func() net.Conn) {
		here := dial()
		began := time.Now()
		_, _ = io.WriteString(here, "POST /api/v1/organizations HTTP/1.1\r\nHost: x\r\nUser-Agent: MerakiTerraform/1.0 Cisco\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{")
		time.Sleep(4 * time.Second)
		_, _ = io.WriteString(here, "}")
		resp, err := http.ReadResponse(bufio.NewReader(here), nil)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); resp.StatusCode != 429 || took >= 5*time.Second {
			t.Errorf("%d after %v", resp.StatusCode, took)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = here.Close()
		time.Sleep(time.Minute) // until the write has ended
	})
}

// TestConnectionsHaveAnAge: one that is used all the time is made anew after half an hour.
func TestConnectionsHaveAnAge(t *testing.T) {
	answered := func() (*broker.Answer, error) { return &broker.Answer{Status: 200, Body: []byte("[]")}, nil }
	for _, version := range []int{1, 2} {
		inMemory(t, answered, func(t *testing.T, dial func() net.Conn) {
			var protocols http.Protocols
			protocols.SetHTTP1(version == 1)
			protocols.SetUnencryptedHTTP2(version == 2)
			dialled := 0
			transport := &http.Transport{Protocols: &protocols, DialContext: func(context.Context, string, string) (net.Conn, error) {
				dialled++
				return dial(), nil
			}}
			defer transport.CloseIdleConnections()
			for minute := range 59 {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://broker/api/v1/organizations", nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := transport.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				want := 1
				if minute > 31 {
					want = 2
				}
				if resp.StatusCode != 200 || resp.ProtoMajor != version || dialled != want {
					t.Errorf("HTTP/%d, minute %d: HTTP/%d, %d, %d connections, want %d", version, minute, resp.ProtoMajor, resp.StatusCode, dialled, want)
				}
				time.Sleep(time.Minute)
			}
		})
	}
}

// TestALargeBodyThatIsSlow: its client is told so at once, and not to come back.
func TestALargeBodyThatIsSlow(t *testing.T) {
	none := func() (*broker.Answer, error) {
		t.Error("a call has reached the broker")
		return nil, errors.New("no call may come here")
	}
	inMemory(t, none, func(t *testing.T, dial func() net.Conn) {
		here := dial()
		began := time.Now()
		_, _ = io.WriteString(here, "POST /api/v1/organizations HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n{")
		resp, err := http.ReadResponse(bufio.NewReader(here), nil)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); resp.StatusCode != http.StatusRequestEntityTooLarge || took > time.Second {
			t.Errorf("%d after %v", resp.StatusCode, took)
		}
		_, _ = io.Copy(io.Discard, here) // until the other side closes
		_ = here.Close()
	})
}

// TestDrain: what is being asked for is finished. A client that has not sent all of its
// request, or does not read its answer, is not waited for beyond a moment.
func TestDrain(t *testing.T) {
	answered := func() (*broker.Answer, error) {
		time.Sleep(20 * time.Second) // in synthetic time
		return &broker.Answer{Status: 200, Body: bytes.Repeat([]byte(" "), 1<<20)}, nil
	}
	for name, c := range map[string]struct {
		request string
		reads   bool
		most    time.Duration
	}{
		"who reads":         {"GET /api/v1/organizations HTTP/1.1\r\nHost: x\r\n\r\n", true, 21 * time.Second},
		"who does not read": {"GET /api/v1/organizations HTTP/1.1\r\nHost: x\r\n\r\n", false, 26 * time.Second},
		"half a body":       {"POST /api/v1/organizations HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", false, 6 * time.Second},
		"half a header":     {"GET /api/v1/organizations HTTP/1.1\r\nHost: x\r\nX: ", false, 6 * time.Second},
		"nothing":           {"", false, 6 * time.Second},
	} {
		inMemoryUntilDrained(t, answered, func(t *testing.T, dial func() net.Conn, drain func(context.Context)) {
			here := dial()
			_, _ = io.WriteString(here, c.request)
			synctest.Wait()
			read := make(chan int64, 1)
			if c.reads {
				go func() {
					n, _ := io.Copy(io.Discard, here)
					read <- n
				}()
			}
			began := time.Now()
			drain(t.Context())
			if took := time.Since(began); took > c.most {
				t.Errorf("%s: held for %v", name, took)
			}
			if c.reads {
				if n := <-read; n < 1<<20 {
					t.Errorf("%s: %d bytes of the answer have come", name, n)
				}
			}
			_ = here.Close()
		})
	}
}
