package rest

import (
	"errors"
	"io"
	"net"
	"testing"
)

// TestNothingIsReadAfterAGap: bytes for which there was no room are missing. What follows is
// never read as if it came next, also when there is room again.
func TestNothingIsReadAfterAGap(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe()
	defer here.Close()
	c := &connection{Conn: there}
	defer c.Close()
	var all heads
	c.head.of = &all
	go func() { _, _ = here.Write(make([]byte, 3*freeHead)) }()
	piece := make([]byte, freeHead)
	if _, err := io.ReadFull(c, piece); err != nil {
		t.Fatal(err)
	}
	all.Add(allHeads) // others
	if n, err := c.Read(piece); n != 0 || !errors.Is(err, errHeads) {
		t.Fatalf("%d, %v", n, err)
	}
	all.Add(-allHeads)
	if n, err := c.Read(piece); n != 0 || !errors.Is(err, errHeads) {
		t.Errorf("after the gap: %d, %v", n, err)
	}
}
