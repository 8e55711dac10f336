//go:build clients

package rest

import (
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/merakibroker/merakibroker/service/sandbox"
)

// TestSDKOverCutConnections: one answer in ten breaks off, the SDK and its user ask
// again, and no write is made twice.
func TestSDKOverCutConnections(t *testing.T) {
	each(t, sandbox.Options{}, func(t *testing.T, s *stand, version, mode string) {
		base, err := url.Parse(s.rest)
		if err != nil {
			t.Fatal(err)
		}
		c := newCutter(t, base.Host)
		base.Host = c.address
		s.rest = base.String()
		organization := s.sandbox.OrganizationID(0)
		if seen := s.sdk(t, version, mode, "writes", organization); seen["made"] != 40.0 {
			t.Errorf("%v", seen)
		}
		if n := s.sandbox.Organization(organization).Operations["createOrganizationNetwork"].Arrived; n != 40 {
			t.Errorf("40 networks were created with %d requests", n)
		}
		if cut := c.count(); cut == 0 {
			t.Error("no connection was cut")
		}
	})
}

// A cutter stands between a client and a server, and cuts one answer of each ten
// somewhere.
type cutter struct {
	address string

	mu      sync.Mutex
	random  *rand.Rand
	answers int
	next    int // which one of the ten is cut
	cut     int
}

func newCutter(t *testing.T, server string) *cutter {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{address: l.Addr().String(), random: rand.New(rand.NewPCG(seed, 0))}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				there, err := net.Dial("tcp", server)
				if err != nil {
					t.Error(err)
					_ = client.Close()
					return
				}
				all.Go(func() {
					_, _ = io.Copy(there, client)
					_ = there.Close()
				})
				c.answer(client, there)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return c
}

// answer hands on what the server says until it is cut. What is left unread then, and
// no linger, reset both connections, as a cut does.
func (c *cutter) answer(client, server net.Conn) {
	defer client.Close()
	defer server.Close()
	data := make([]byte, 64<<10)
	for {
		room := c.room(len(data))
		n, err := server.Read(data[:room])
		if n > 0 {
			_, _ = client.Write(data[:n])
		}
		if room < len(data) {
			_ = client.(*net.TCPConn).SetLinger(0)
			_ = server.(*net.TCPConn).SetLinger(0)
			return
		}
		if err != nil {
			return
		}
	}
}

// room is how much of the next answer comes through: all, or a few bytes of it.
func (c *cutter) room(all int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answers%10 == 0 {
		c.next = c.random.IntN(10)
	}
	c.answers++
	if (c.answers-1)%10 != c.next {
		return all
	}
	c.cut++
	return 1 + c.random.IntN(100)
}

func (c *cutter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut
}
