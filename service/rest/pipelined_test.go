package rest_test

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/service/rest"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// TestARequestThatWasSentBeforeTheAnswerSaysNothingOfIt: a client may have sent its next
// request together with a write, and have left since. That one says nothing of whether the
// client has the write's answer: asked again, the write is not executed a second time.
func TestARequestThatWasSentBeforeTheAnswerSaysNothingOfIt(t *testing.T) {
	t.Parallel()
	here, on := make(chan struct{}), make(chan struct{})
	var posts atomic.Int64
	f := newFace(t, setup{sandbox: sandbox.Options{LimitsOff: true}, around: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost && posts.Add(1) == 1 {
				close(here)
				<-on
			}
			next.ServeHTTP(w, r)
		})
	}})
	const body = `{"name":"once","productTypes":["appliance"]}`
	c := f.dial(t)
	if _, err := c.Write(f.post(body, "")); err != nil {
		t.Fatal(err)
	}
	<-here
	if _, err := io.WriteString(c, "GET /api/v1/organizations HTTP/1.1\r\nHost: broker\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	close(on)
	resp, text := f.ask(t, "POST", "/api/v1/organizations/"+f.sandbox.OrganizationID(0)+"/networks", body)
	if n := posts.Load(); resp.StatusCode != http.StatusCreated || n != 1 {
		t.Errorf("%d %s, and the write was executed %d times", resp.StatusCode, text, n)
	}
}

// TestAWriteWhoseClientHasLeftIsNotBegun: a request may be read only after its client has
// given up, asked again on another connection, and got its answer there.
func TestAWriteWhoseClientHasLeftIsNotBegun(t *testing.T) {
	t.Parallel()
	for name, reset := range map[string]bool{"closed": false, "reset": true} {
		observed := make(chan int, 2)
		f := newFace(t, setup{observe: func(status int, _ string, _ time.Duration) { observed <- status }})
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		const body = `{"name":"once","productTypes":["appliance"]}`
		if _, err := c.Write(f.post(body, "")); err != nil {
			t.Fatal(err)
		}
		if reset {
			if err := c.(*net.TCPConn).SetLinger(0); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		server := rest.NewServer(f.handler, nil, slog.New(slog.DiscardHandler))
		served := make(chan error, 1)
		go func() { served <- server.Serve(rest.Listen(l)) }()
		if !reset { // what was reset is not even read
			if status := <-observed; status != http.StatusTooManyRequests {
				t.Errorf("%s: %d", name, status)
			}
		}
		resp, text := f.ask(t, "POST", "/api/v1/organizations/"+f.sandbox.OrganizationID(0)+"/networks", body)
		if resp.StatusCode != http.StatusCreated || resp.Header.Get("Meraki-Broker-Cache") != "miss" || len(f.requests()) != 1 {
			t.Errorf("%s: %d %v %s", name, resp.StatusCode, resp.Header, text)
		}
		_ = server.Close()
		<-served
	}
}
