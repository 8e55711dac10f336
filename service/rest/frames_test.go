package rest_test

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// stream sends one request frame by frame, on a connection of its own, and gives the
// status and the body of the answer; no status where the stream or the connection was
// ended without one.
func (f *face) stream(t *testing.T, headers []string, data []string) (status, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	_, _ = conn.Write([]byte(http2.ClientPreface))
	framer := http2.NewFramer(conn, conn)
	framer.AllowIllegalWrites = true
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = framer.WriteSettings()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := 0; i < len(headers); i += 2 {
		_ = encoder.WriteField(hpack.HeaderField{Name: headers[i], Value: headers[i+1]})
	}
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: len(data) == 0})
	for i, d := range data {
		_ = framer.WriteData(1, i == len(data)-1, []byte(d))
	}
	var text bytes.Buffer
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			break
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			status = frame.PseudoValue("status")
		case *http2.DataFrame:
			text.Write(frame.Data())
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = framer.WriteSettingsAck()
			}
			continue
		case *http2.GoAwayFrame:
			return status, text.String()
		}
		if frame.Header().StreamID == 1 && (frame.Header().Flags.Has(http2.FlagDataEndStream) || frame.Header().Type == http2.FrameRSTStream) {
			return status, text.String()
		}
	}
	if ctx.Err() != nil {
		t.Error("the stream was left open")
	}
	return status, text.String()
}

// TestFramesThatAreNoRequest: what HTTP/2 makes possible and HTTP/1.1 would read
// otherwise ends in a 4xx or in the end of the stream, and nothing leaves.
func TestFramesThatAreNoRequest(t *testing.T) {
	f := newFace(t, setup{})
	with := func(more ...string) []string {
		return append([]string{":method", "POST", ":scheme", "http", ":path", "/api/v1/organizations", ":authority", "broker"}, more...)
	}
	target := func(method, path, authority string) []string {
		return []string{":method", method, ":scheme", "http", ":path", path, ":authority", authority}
	}
	inside := "DELETE /api/v1/networks/" + f.sandbox.NetworkID(0, 0) + " HTTP/1.1\r\nHost: broker\r\n\r\n"
	for name, test := range map[string]struct {
		headers, data []string
	}{
		"chunks":                           {with("transfer-encoding", "chunked"), []string{"0\r\n\r\n" + inside}},
		"a length that is shorter":         {with("content-length", "2"), []string{"{}", inside}},
		"a length that is longer":          {with("content-length", "200"), []string{"{}"}},
		"two lengths":                      {with("content-length", "2", "content-length", "3"), []string{"{}"}},
		"a connection that is upgraded":    {with("connection", "upgrade", "upgrade", "websocket"), []string{"{}"}},
		"a line in a value":                {with("x", "a\r\ntransfer-encoding: chunked"), []string{"{}"}},
		"a line in a name":                 {with("x\r\ntransfer-encoding", "chunked"), []string{"{}"}},
		"a name in capitals":               {with("X", "y"), []string{"{}"}},
		"two paths":                        {with(":path", "/api/v1/networks"), []string{"{}"}},
		"a path after the headers":         {[]string{":method", "GET", ":scheme", "http", "x", "y", ":path", "/api/v1/organizations"}, nil},
		"no path":                          {[]string{":method", "GET", ":scheme", "http", ":authority", "broker"}, nil},
		"an empty path":                    {target("GET", "", "broker"), nil},
		"a path without a slash":           {target("GET", "api/v1/organizations", "broker"), nil},
		"all paths":                        {target("OPTIONS", "*", "broker"), nil},
		"another host's address as a path": {target("GET", "http://evil/api/v1/organizations", "broker"), nil},
		"a line in the path":               {target("GET", "/api/v1/organizations HTTP/1.1\r\nX: y", "broker"), nil},
		"an escape that is none":           {target("GET", "/api/v1/organizations/%zz", "broker"), nil},
		"a method with a line":             {target("GET / HTTP/1.1\r\nX: y", "/api/v1/organizations", "broker"), nil},
		"CONNECT":                          {[]string{":method", "CONNECT", ":authority", "evil:443"}, nil},
		"CONNECT of a protocol":            {[]string{":method", "CONNECT", ":scheme", "http", ":path", "/api/v1/organizations", ":authority", "broker", ":protocol", "websocket"}, nil},
		"a GET with a body":                {target("GET", "/api/v1/organizations", "broker"), []string{"{}"}},
		"a flood of headers":               {with(strings.Split(strings.Repeat("x,y,", 20_000), ",")[:40_000]...), []string{"{}"}},
		"an encoded body":                  {with("content-encoding", "gzip"), []string{"{}"}},
	} {
		status, body := f.stream(t, test.headers, test.data)
		// Of what HTTP/2 has no headers for, and of headers without measure, Go's server
		// says so in words of its own.
		own := status == "431" || status == "400" && strings.Contains(body, "is not valid in HTTP/2")
		if status != "" && !own && (status[0] != '4' || status == "400" || status == "404" || !strings.HasPrefix(body, `{"errors":["`)) {
			t.Errorf("%s: %s %s", name, status, body)
		}
		for _, r := range f.requests() {
			t.Errorf("%s: %s %s has left", name, r.Method, r.URL)
		}
	}
	if status, body := f.stream(t, target("GET", "/api/v1/organizations", "broker"), nil); status != "200" {
		t.Errorf("a request: %s %s", status, body)
	}
}
