package usage

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// A window is one minute, or what is known of it.
type window struct {
	minute int64
	all    rows
	each   [len(singles)]rows
}

// rows are the largest of a minute, and the sum of what is not among them.
type rows struct {
	keys    []Key
	figures []Figures
	other   Figures
}

// of are the rows with the fewest parts that tell the groups apart.
func (w *window) of(g Groups) *rows {
	switch g {
	case 0, ByCaller:
		return &w.each[0]
	case ByOrganization:
		return &w.each[1]
	case ByOperation:
		return &w.each[2]
	}
	return &w.all
}

// packedVersion is the first byte of the packed form, before what is compressed.
const packedVersion = 1

// mostUnpacked bounds a window before it is compressed, in bytes.
const mostUnpacked = 1 << 20

// A packer packs windows, one at a time. It keeps the compressor, which is large.
type packer struct {
	mu         sync.Mutex
	out        bytes.Buffer
	compressor *flate.Writer
}

func newPacker() *packer {
	p := new(packer)
	p.compressor, _ = flate.NewWriter(&p.out, flate.BestSpeed) // the level is one that there is
	return p
}

// pack makes a window small: every text once, no figure that is 0, compressed.
func (p *packer) pack(w *window) []byte {
	texts := map[string]uint64{"": 0}
	var names, body []byte
	number := func(s string) uint64 {
		n, ok := texts[s]
		if !ok {
			n = uint64(len(texts))
			texts[s] = n
			names = binary.AppendUvarint(names, uint64(len(s)))
			names = append(names, s...)
		}
		return n
	}
	for _, r := range [...]*rows{&w.all, &w.each[0], &w.each[1], &w.each[2]} {
		body = binary.AppendUvarint(body, uint64(len(r.keys)))
		for i, k := range r.keys {
			for _, s := range [...]string{k.Caller, k.Organization, k.Operation} {
				body = binary.AppendUvarint(body, number(s))
			}
			body = appendFigures(body, &r.figures[i])
		}
		body = appendFigures(body, &r.other)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.Reset()
	p.out.WriteByte(packedVersion)
	p.compressor.Reset(&p.out)
	_, _ = p.compressor.Write(binary.AppendVarint(nil, w.minute))
	_, _ = p.compressor.Write(binary.AppendUvarint(nil, uint64(len(texts)-1)))
	_, _ = p.compressor.Write(names)
	_, _ = p.compressor.Write(body)
	_ = p.compressor.Close() // nothing here can fail: it goes to memory
	return bytes.Clone(p.out.Bytes())
}

// appendFigures writes which figures are not 0, and those.
func appendFigures(to []byte, f *Figures) []byte {
	mask := uint64(0)
	for i, n := range f {
		if n != 0 {
			mask |= 1 << i
		}
	}
	to = binary.AppendUvarint(to, mask)
	for _, n := range f {
		if n != 0 {
			to = binary.AppendUvarint(to, uint64(n))
		}
	}
	return to
}

var errPacked = errors.New("usage: not a packed window")

// unpack reads what pack wrote, here or at another replica.
func unpack(packed []byte) (*window, error) {
	if len(packed) == 0 || packed[0] != packedVersion {
		return nil, fmt.Errorf("%w of version %d", errPacked, packedVersion)
	}
	text, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed[1:])), mostUnpacked+1))
	if err != nil || len(text) > mostUnpacked {
		return nil, errPacked
	}
	r := reader{text: text}
	w := &window{minute: r.signed()}
	texts := make([]string, 1, min(1+r.count(), mostUnpacked))
	for range cap(texts) - 1 {
		texts = append(texts, r.string())
	}
	for _, rows := range [...]*rows{&w.all, &w.each[0], &w.each[1], &w.each[2]} {
		for range r.count() {
			if r.failed {
				return nil, errPacked
			}
			var parts [3]string
			for i := range parts {
				if n := r.unsigned(); n < uint64(len(texts)) {
					parts[i] = texts[n]
				} else {
					r.failed = true
				}
			}
			rows.keys = append(rows.keys, Key{parts[0], parts[1], parts[2]})
			rows.figures = append(rows.figures, r.figures())
		}
		rows.other = r.figures()
	}
	if r.failed || len(r.text) > 0 {
		return nil, errPacked
	}
	return w, nil
}

// A reader takes a text apart; after a failure it gives zeros.
type reader struct {
	text   []byte
	failed bool
}

func (r *reader) unsigned() uint64 {
	n, size := binary.Uvarint(r.text)
	return advance(r, n, size)
}

func (r *reader) signed() int64 {
	n, size := binary.Varint(r.text)
	return advance(r, n, size)
}

func advance[T int64 | uint64](r *reader, n T, size int) T {
	if size <= 0 || r.failed {
		r.failed, r.text = true, nil
		return 0
	}
	r.text = r.text[size:]
	return n
}

// count is how many follow: each takes a byte at the least.
func (r *reader) count() int {
	n := r.unsigned()
	if n > uint64(len(r.text)) {
		r.failed = true
		return 0
	}
	return int(n)
}

func (r *reader) string() string {
	n := r.count()
	s := string(r.text[:n])
	r.text = r.text[n:]
	return s
}

// maxFigure bounds a figure that is read, so that a sum of many stays one.
const maxFigure = 1 << 50

func (r *reader) figures() (f Figures) {
	mask := r.unsigned()
	if mask >= 1<<figures {
		r.failed = true // of a later version
	}
	for i := range f {
		if mask&(1<<i) != 0 {
			n := r.unsigned()
			f[i] = int64(min(n, maxFigure))
		}
	}
	return f
}
