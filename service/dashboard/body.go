package dashboard

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
)

// ErrTooLarge is the Err of an answer whose body is above the bound.
var ErrTooLarge = errors.New("the answer is larger than the bound")

// errEncoding is the Err of an answer in an encoding that was not asked for.
var errEncoding = errors.New("the answer is in an encoding other than gzip")

// trusted is how far a Content-Length is believed: so much is set aside before
// the first byte has come. A pooled buffer is kept up to the same size.
const trusted = 1 << 20

// A reader reads bodies, and keeps what reading takes for the next one.
type reader struct {
	gzips   sync.Pool // *gzip.Reader
	buffers sync.Pool // *bytes.Buffer
}

// read reads a body of at most limit bytes, decompressed. What it returns is
// the caller's own; with an error, it is the part that came before. whole: a part
// is of no use.
func (r *reader) read(resp *http.Response, limit int64, whole bool) ([]byte, error) {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return nil, nil // what follows is no body, and nothing would end the reading of it
	}
	switch strings.ToLower(strings.TrimSpace(resp.Header.Get("Content-Encoding"))) {
	case "", "identity":
		if n := resp.ContentLength; n > limit && whole {
			return nil, ErrTooLarge
		} else if 0 < n && n <= min(trusted, limit) {
			return exactly(resp.Body, int(n))
		}
		return r.slurp(resp.Body, limit)
	case "gzip", "x-gzip":
		return r.unzip(resp.Body, limit)
	}
	return nil, errEncoding
}

// exactly reads a body whose length is known. net/http reports a body that
// breaks off before its length.
func exactly(body io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	got, err := io.ReadFull(body, b)
	if err != nil {
		return b[:got], err
	}
	// One more read meets the end, after which the connection is free again.
	var end [1]byte
	_, _ = body.Read(end[:])
	return b, nil
}

func (r *reader) unzip(body io.Reader, limit int64) ([]byte, error) {
	z, _ := r.gzips.Get().(*gzip.Reader)
	if z == nil {
		z = new(gzip.Reader)
	}
	if err := z.Reset(body); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil // no body at all, which needs no gzip header
		}
		return nil, err
	}
	// A reader goes back only after Reset, which rids it of the last body.
	defer r.gzips.Put(z)
	return r.slurp(z, limit)
}

// slurp reads a body of unknown length into a pooled buffer and gives a copy of
// its size.
func (r *reader) slurp(body io.Reader, limit int64) ([]byte, error) {
	buf, _ := r.buffers.Get().(*bytes.Buffer)
	if buf == nil {
		buf = new(bytes.Buffer)
	}
	buf.Reset()
	n, err := buf.ReadFrom(io.LimitReader(body, limit+1))
	if n > limit {
		buf.Truncate(int(limit))
		err = ErrTooLarge
	}
	if buf.Cap() > trusted {
		return buf.Bytes(), err // too large to keep: hand it over as it is
	}
	b := bytes.Clone(buf.Bytes())
	r.buffers.Put(buf)
	return b, err
}
