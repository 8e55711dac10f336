package record

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// A packedAttempt is an attempt as the ring keeps it: 64 bytes and no pointer, so that
// tens of thousands of them cost the garbage collector nothing.
type packedAttempt struct {
	start    int64 // unix nanoseconds
	duration int64
	// The numbers of interned texts.
	operation, organization, caller, host, err, verdict uint32

	id     [16]byte // see idForm
	status uint16
	number uint16

	outcome fault.Outcome
	method  uint8 // in methods
	idForm  idForm
}

// methods are those that a call can have.
var methods = [...]string{"", "GET", "PUT", "POST", "DELETE"}

// An idForm is how a packedAttempt keeps a request id.
type idForm uint8

const (
	idNone idForm = iota
	// idUUID and idHex are 128 bits in hexadecimal digits with small letters,
	// idUUID with dashes and idHex without: the two forms of the vendor's ids.
	idUUID
	idHex
	// idInterned is any other id: its first four bytes are the number of an
	// interned text.
	idInterned
)

// packID gives the 128 bits of a request id in one of the two forms, and
// idInterned for every other id.
func packID(id string) (bits [16]byte, form idForm) {
	var digits [32]byte
	switch len(id) {
	case 32:
		form = idHex
		copy(digits[:], id)
	case 36:
		form = idUUID
		n := 0
		for i := range len(id) {
			if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (id[i] == '-') {
				return bits, idInterned
			} else if !dash {
				digits[n] = id[i]
				n++
			}
		}
	default:
		return bits, idInterned
	}
	for _, d := range digits {
		if !('0' <= d && d <= '9' || 'a' <= d && d <= 'f') {
			return bits, idInterned // a capital would come back as a small letter
		}
	}
	_, _ = hex.Decode(bits[:], digits[:])
	return bits, form
}

// unpackID writes the request id from which packID made the bits.
func unpackID(bits [16]byte, form idForm) string {
	s := hex.EncodeToString(bits[:])
	if form == idHex {
		return s
	}
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// A ring keeps the latest attempts. It grows by one chunk at a time, and never
// moves an attempt. Its Record's lock guards it.
type ring struct {
	limit  int
	chunks [][]packedAttempt
	length int
	next   int // place of the next attempt once the ring is full
	texts  interner
}

const ringChunk = 1024

func (r *ring) at(i int) *packedAttempt { return &r.chunks[i/ringChunk][i%ringChunk] }

// add keeps an attempt. In a full ring the attempt takes the place of the oldest
// one.
func (r *ring) add(a *Attempt) {
	l := r.pack(a)
	if r.length < r.limit {
		if r.length%ringChunk == 0 {
			r.chunks = append(r.chunks, make([]packedAttempt, min(ringChunk, r.limit-r.length)))
		}
		r.length++
		*r.at(r.length - 1) = l
		return
	}
	old := r.at(r.next)
	r.release(old)
	*old = l
	r.next = (r.next + 1) % r.length
}

// pack packs an attempt. It replaces the attempt's texts by the interned ones,
// which the ring keeps anyway: a text that is part of a URL would keep the whole
// URL in memory.
func (r *ring) pack(a *Attempt) packedAttempt {
	w := &r.texts
	l := packedAttempt{
		start: nanos(a.Start), duration: int64(a.Duration),
		status: uint16(a.Status), number: uint16(min(a.Number, 1<<16-1)), outcome: a.Outcome,
		operation: w.hold(&a.Operation), organization: w.hold(&a.Organization), caller: w.hold(&a.Caller),
		host: w.hold(&a.Host), err: w.hold(&a.Error), verdict: w.hold(&a.Verdict),
	}
	for i, m := range methods {
		if a.Method == m {
			l.method = uint8(i)
		}
	}
	if a.RequestID == "" {
		return l
	}
	if l.id, l.idForm = packID(a.RequestID); l.idForm == idInterned {
		binary.LittleEndian.PutUint32(l.id[:], w.hold(&a.RequestID))
	}
	return l
}

// nanos is t in unix nanoseconds, as a packedAttempt keeps it. A time out of
// range becomes the nearer end of the range.
func nanos(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, math.MinInt64)):
		return math.MinInt64
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}

// idNumber is the number of the text of an interned request id.
func (l *packedAttempt) idNumber() uint32 { return binary.LittleEndian.Uint32(l.id[:]) }

// unpack makes the attempt from which pack made l.
func (r *ring) unpack(l *packedAttempt) Attempt {
	w := &r.texts
	a := Attempt{
		Start: time.Unix(0, l.start), Duration: time.Duration(l.duration),
		Operation: w.text(l.operation), Organization: w.text(l.organization), Caller: w.text(l.caller),
		Method: methods[l.method], Status: int(l.status), Outcome: l.outcome,
		Host: w.text(l.host), Error: w.text(l.err), Number: int(l.number), Verdict: w.text(l.verdict),
	}
	switch l.idForm {
	case idNone:
	case idInterned:
		a.RequestID = w.text(l.idNumber())
	default:
		a.RequestID = unpackID(l.id, l.idForm)
	}
	return a
}

// release gives up the interned texts of a packedAttempt.
func (r *ring) release(l *packedAttempt) {
	for _, n := range [...]uint32{l.operation, l.organization, l.caller, l.host, l.err, l.verdict} {
		r.texts.release(n)
	}
	if l.idForm == idInterned {
		r.texts.release(l.idNumber())
	}
}
