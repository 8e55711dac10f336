package rest_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/service/broker"
)

// TestFloodOfHeaders: what all connections together hold of headers that do not end is
// bounded; a request of the usual size finds its room, and so do large ones afterwards.
func TestFloodOfHeaders(t *testing.T) {
	answers := func() (*broker.Answer, error) { return &broker.Answer{Status: 200, Body: []byte("[]")}, nil }
	inMemory(t, answers, func(t *testing.T, dial func() net.Conn) {
		const (
			start       = "GET /api/v1/organizations HTTP/1.1\r\nHost: x\r\n"
			connections = 600
		)
		flood := start + strings.Repeat("X: x\r\n", 4000)
		ask := func(name, text string) {
			t.Helper()
			here := dial()
			defer here.Close()
			go func() { _, _ = io.WriteString(here, text) }()
			from := bufio.NewReader(here)
			for range strings.Count(text, "GET ") {
				resp, err := http.ReadResponse(from, nil)
				if err != nil || resp.StatusCode != 200 {
					t.Errorf("%s: %v %v", name, resp, err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
			}
		}
		var held atomic.Int64
		var all sync.WaitGroup
		for n := range connections {
			here := dial()
			text := flood
			if n%2 > 0 { // behind a request that is answered
				text = start + "\r\n" + flood
			}
			all.Go(func() { _, _ = io.WriteString(here, text) })
			all.Go(func() {
				answer, _ := io.ReadAll(here) // until the other side closes
				if n := strings.Count(string(answer), "HTTP/1.1 200 "); n != strings.Count(text, "\r\n\r\n") || strings.Contains(string(answer), " 400 ") {
					t.Errorf("%s", answer)
				}
				_ = here.Close()
				held.Add(-1)
			})
			held.Add(1)
		}
		synctest.Wait()
		// Up to 4 KiB were read along with the request before.
		if most := int64(8<<20) / int64(len(flood)-8<<10); held.Load() > most+1 || held.Load() < most/2 {
			t.Errorf("%d are held, at most %d", held.Load(), most)
		}
		ask("the usual size, meanwhile", start+"\r\n"+start+"\r\n")
		time.Sleep(11 * time.Second) // in synthetic time: what has not arrived by now is given up
		all.Wait()
		large := start + "X: " + strings.Repeat("x", 30_000) + "\r\n\r\n"
		ask("large, afterwards", strings.Repeat(large, 8<<20/(26<<10)+10))
	})
}
