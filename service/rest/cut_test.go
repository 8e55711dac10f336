package rest_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/service/sandbox"
)

// post is a request as bytes.
func (f *face) post(body string, headers string) []byte {
	return fmt.Appendf(nil, "POST /api/v1/organizations/%s/networks HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n%s\r\n%s",
		f.sandbox.OrganizationID(0), strings.TrimPrefix(f.url, "http://"), len(body), headers, body)
}

func (f *face) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// TestCutConnections: a client that repeats what it has no answer to makes no write
// twice, wherever its connections are cut.
func TestCutConnections(t *testing.T) {
	for name, share := range map[string]float64{"a tenth": 0.1, "half": 0.5} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const posts, workers = 80, 8
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			var mu sync.Mutex
			made := make(map[string]int)
			f := newFace(t, setup{sandbox: sandbox.Options{LimitsOff: true}, around: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					body, err := io.ReadAll(r.Body)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					made[string(body)]++
					mu.Unlock()
					r.Body = io.NopCloser(bytes.NewReader(body))
					next.ServeHTTP(w, r)
				})
			}})
			var all sync.WaitGroup
			for worker := range workers {
				all.Go(func() {
					random := rand.New(rand.NewPCG(seed, uint64(worker)))
					for n := worker; n < posts; n += workers {
						f.insist(t, random, share, fmt.Sprintf(`{"name":"network %d","productTypes":["appliance"]}`, n))
					}
				})
			}
			all.Wait()
			for body, times := range made {
				if times != 1 {
					t.Errorf("%s was sent %d times", body, times)
				}
			}
			if len(made) != posts {
				t.Errorf("%d of %d were sent", len(made), posts)
			}
		})
	}
}

// insist makes one POST until it has the answer. Each connection is cut with a
// probability: before the answer, or after some bytes of it, and with or without a
// word to the other side.
func (f *face) insist(t *testing.T, random *rand.Rand, share float64, body string) {
	for range 100 {
		c := f.dial(t)
		if _, err := c.Write(f.post(body, "")); err != nil {
			t.Error(err)
		}
		cut := random.Float64() < share
		if cut {
			if random.IntN(2) == 0 {
				if err := c.SetLinger(0); err != nil {
					t.Error(err)
				}
			}
			// Every answer has more bytes than that.
			if _, err := io.ReadFull(c, make([]byte, random.IntN(200))); err != nil {
				t.Error(err)
			}
		} else {
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Error(err)
				return
			}
			text, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusCreated {
				t.Errorf("%d %s %v", resp.StatusCode, text, err)
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if !cut {
			return
		}
	}
	t.Error("cut a hundred times")
}

// TestTheSameAfterItsAnswerIsAnotherWrite, whatever becomes of the connection.
func TestTheSameAfterItsAnswerIsAnotherWrite(t *testing.T) {
	t.Parallel()
	const body = `{"name":"wanted twice","productTypes":["appliance"]}`
	for name, test := range map[string]struct {
		headers      string
		close, reuse bool
	}{
		"the same connection":              {"", false, true},
		"another one, the first is closed": {"", true, false},
		"another one, the first is open":   {"", false, false},
		"the broker closes it":             {"Connection: close\r\n", true, false},
	} {
		f := newFace(t, setup{})
		c := f.dial(t)
		for n := range 2 {
			if _, err := c.Write(f.post(body, test.headers)); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Fatal(err)
			}
			if cache := resp.Header.Get("Meraki-Broker-Cache"); cache != "miss" {
				t.Errorf("%s, write %d: %s", name, n, cache)
			}
			if n == 0 && !test.reuse {
				if test.close {
					if err := c.Close(); err != nil {
						t.Fatal(err)
					}
				} else {
					defer c.Close()
				}
				c = f.dial(t)
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if sent := len(f.requests()); sent != 2 {
			t.Errorf("%s: %d were sent", name, sent)
		}
	}
}

// TestAFailureStaysUntilItIsDelivered: a client that did not hear that the outcome is
// unknown does not execute the write by asking again.
func TestAFailureStaysUntilItIsDelivered(t *testing.T) {
	t.Parallel()
	f := newFace(t, setup{sandbox: sandbox.Options{LimitsOff: true}, around: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	}})
	const body = `{"name":"lost","productTypes":["appliance"]}`
	c := f.dial(t)
	if _, err := c.Write(f.post(body, "")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 20)); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	resp, text := f.ask(t, "POST", "/api/v1/organizations/"+f.sandbox.OrganizationID(0)+"/networks", body)
	if resp.StatusCode != http.StatusConflict || len(f.requests()) != 1 {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
}
