package rest_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestALargeListIsHeldOnce: of a list of 6 MB the broker holds no more than twice of it
// while the client does not read, and not a byte of it is changed.
func TestALargeListIsHeldOnce(t *testing.T) {
	const row = `{"id":12345678901234567890,"name":"\u00e4 / \/","unknown":null,"score":1.0e2}`
	list := []byte("[" + strings.Repeat(row+",\n ", 6_000_000/(len(row)+3)) + row + "]")
	for name, length := range map[string]bool{"with a length": true, "in chunks": false} {
		f := newFace(t, setup{respond: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if length {
				w.Header().Set("Content-Length", strconv.Itoa(len(list)))
			}
			_, _ = w.Write(list)
		})})
		get := func() (*bufio.Reader, net.Conn) {
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(f.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(time.Minute))
			if _, err := io.WriteString(conn, "GET /api/v1/organizations/2930418/devices?perPage=1000 HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			from := bufio.NewReader(conn)
			if _, err := from.Peek(1); err != nil { // the answer is there, and is being written
				t.Fatal(err)
			}
			return from, conn
		}
		read := func(from *bufio.Reader, into []byte) int {
			resp, err := http.ReadResponse(from, nil)
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.ReadFull(resp.Body, into)
			if err != nil && err != io.ErrUnexpectedEOF {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			return n
		}
		got := make([]byte, len(list)+1)
		from, conn := get() // so that what stays is there already
		read(from, got)
		_ = conn.Close()
		before := held()
		from, conn = get()
		during := held() - before
		if n := read(from, got); !bytes.Equal(got[:n], list) {
			t.Errorf("%s: the list has changed, %d bytes of %d", name, n, len(list))
		}
		_ = conn.Close()
		t.Logf("%s: %.2f times the list", name, float64(during)/float64(len(list)))
		if during > 2*int64(len(list)) {
			t.Errorf("%s: %d bytes are held for a list of %d", name, during, len(list))
		}
	}
}

// held is what the heap holds that somebody needs.
func held() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // pools keep for one more
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
