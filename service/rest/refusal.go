package rest

import (
	"bytes"
	"cmp"
	"io"
	"net/http"
	"strings"

	"github.com/merakibroker/merakibroker/service/fault"
)

// What net/http cannot read as a request it refuses by itself, before a Handler has it:
// in plain text, and mostly as a 400, on which Terraform takes a resource for gone.
// These are the forms of it.
const (
	plainRefusal   = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
	noTLSRefusal   = "HTTP/1.0 400 Bad Request\r\n\r\n"
	expectRefusal  = "417 Expectation Failed\r\nConnection: close\r\n"
	longestRefusal = 512
)

// refusal gives what a client is told in the place of net/http's own refusal: the same
// in the vendor's form, and never as a 400; nil for anything else that is written. With
// full the request has not been read whole for want of room.
func refusal(written []byte, full bool) (answer []byte, f *fault.Error, status int) {
	if len(written) > longestRefusal || !bytes.HasPrefix(written, []byte("HTTP/1.")) {
		return nil, nil, 0
	}
	said := string(written)
	f, status = &fault.Error{Kind: fault.BadRequest}, http.StatusForbidden
	if tls, ok := strings.CutPrefix(said, noTLSRefusal); ok {
		f.Detail = strings.TrimSpace(tls)
	} else if said, ok = strings.CutPrefix(said, "HTTP/1.1 "); !ok {
		return nil, nil, 0
	} else if strings.HasPrefix(said, expectRefusal) && !strings.Contains(said, headerReason) && !strings.Contains(said, headerAttempts) {
		f.Detail, status = "the request expects what this server cannot do; leave Expect out", http.StatusExpectationFailed
	} else if line, reason, ok := strings.Cut(said, plainRefusal); !ok || strings.ContainsAny(line, "\r\n") {
		return nil, nil, 0
	} else if strings.HasPrefix(line, "431 ") {
		f.Reason, f.Detail, status = reasonTooLarge, "the request line and the headers take more than 32768 bytes", http.StatusRequestHeaderFieldsTooLarge
	} else if full {
		busy := tooManyRequests
		f, status = &busy, http.StatusTooManyRequests
	} else {
		// Without a reason it is the request line, or a header or a length that is none.
		f.Detail = "the request cannot be read: " + cmp.Or(strings.TrimPrefix(strings.TrimPrefix(reason, "400 Bad Request"), ": "), "its first line, a header or its length is malformed")
	}
	if !full {
		f.Detail += "; nothing was sent"
	}
	w := answerInMemory{header: http.Header{}}
	_ = writeFault(&w, status, f) // memory takes everything
	var out bytes.Buffer
	resp := http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Close: true}
	_ = resp.Write(&out)
	return out.Bytes(), f, status
}

// An answerInMemory is an answer for which there is no request.
type answerInMemory struct {
	header http.Header
	body   bytes.Buffer
}

func (a *answerInMemory) Header() http.Header         { return a.header }
func (a *answerInMemory) WriteHeader(int)             {}
func (a *answerInMemory) Write(p []byte) (int, error) { return a.body.Write(p) }
