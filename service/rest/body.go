package rest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// bodyBytes is how much of a request's body may come to be held.
func (h *Handler) bodyBytes(r *http.Request) int64 {
	if most := int64(h.config.MaxRequestBytes); r.ContentLength < 0 || r.ContentLength > most {
		return most
	}
	return r.ContentLength
}

// readBody takes the body of a request, bounded.
func (h *Handler) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *fault.Error) {
	if slices.ContainsFunc(r.Header.Values("Content-Encoding"), func(v string) bool { return v != "" && !strings.EqualFold(v, "identity") }) {
		return nil, fault.Bad("Content-Encoding", "the body is encoded; send it plain; nothing was sent")
	}
	if slices.ContainsFunc(r.Header.Values("Upgrade"), func(v string) bool { return v != "" }) {
		return nil, fault.Bad("Upgrade", "this API knows no other protocol; nothing was sent")
	}
	if len(r.Header.Values("Content-Length")) > 1 { // over HTTP/2; net/http takes the first
		return nil, fault.Bad("Content-Length", "the body has two lengths; nothing was sent")
	}
	most := int64(h.config.MaxRequestBytes)
	if r.ContentLength > most {
		// The answer does not wait until net/http has read of it. No other request is read
		// after it: net/http would come to read the connection twice at a time, and end it
		// under the next request.
		_ = http.NewResponseController(w).EnableFullDuplex()
		if r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close")
		}
		return nil, h.tooLarge()
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if err == nil {
		// A deadline that outlived the body would look like a client that has left.
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, h.tooLarge()
	case err != nil && r.ProtoMajor == 1 && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, os.ErrDeadlineExceeded) && r.Context().Err() == nil:
		return nil, fault.Bad("body", "the chunks of the body cannot be read: %s; nothing was sent", err)
	case err != nil:
		return nil, &fault.Error{Kind: fault.Cancelled, Detail: "the body did not arrive whole; nothing was sent", Cause: err}
	case len(body) > 0 && r.Method == http.MethodGet:
		return nil, fault.Bad("body", "a GET takes no body; nothing was sent")
	case len(body) == 0:
		return nil, nil
	}
	return body, nil
}

// discardBody reads what comes of a body that was refused by its length, as much as would
// have been taken: most clients read an answer only when they have sent everything.
func (h *Handler) discardBody(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength > int64(h.config.MaxRequestBytes) && r.Header.Get("Expect") == "" && http.NewResponseController(w).Flush() == nil {
		_, _ = io.CopyN(io.Discard, r.Body, int64(h.config.MaxRequestBytes))
	}
}

func (h *Handler) tooLarge() *fault.Error {
	return &fault.Error{Kind: fault.BadRequest, Reason: reasonTooLarge, Detail: fmt.Sprintf("the body is larger than %d bytes; nothing was sent", h.config.MaxRequestBytes)}
}
