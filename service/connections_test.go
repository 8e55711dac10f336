package service

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestTooManyConnections: what is too much is closed, and others take its place.
func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := NewConnections(2, slog.New(slog.DiscardHandler)).Limit(raw, "test")
	defer l.Close()
	accepted := make(chan net.Conn, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", raw.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	dial()
	dial()
	first := <-accepted
	<-accepted
	if _, err := dial().Read(make([]byte, 1)); err == nil {
		t.Error("a third connection is kept")
	}
	_ = first.Close()
	_ = first.Close()
	dial()
	if c := <-accepted; c == nil {
		t.Error("no connection after one has gone")
	}
}

// failing is a listener that cannot accept, as when descriptors are at an end.
type failing struct{ net.Listener }

func (failing) Accept() (net.Conn, error) { return nil, syscall.EMFILE }

// TestAcceptErrorsAreLogged, once in a while, with the port; a closed listener is none.
func TestAcceptErrorsAreLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := NewConnections(2, slog.New(slog.NewTextHandler(&out, nil))).Limit(failing{}, "admin")
		for range 100 {
			if _, err := l.Accept(); !errors.Is(err, syscall.EMFILE) {
				t.Fatal(err)
			}
		}
		time.Sleep(acceptErrorEvery)
		_, _ = l.Accept()
		if n := strings.Count(out.String(), "port=admin"); n != 2 || !strings.Contains(out.String(), "too many open files") {
			t.Errorf("%d lines:\n%s", n, out.String())
		}
	})
}
