package watch

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
)

// Shared is where replicas leave what they have read for each other. Keys and values
// are of this room's own; everything expires. An error means that nothing is known.
type Shared interface {
	// Get reads a value; nil where there is none.
	Get(ctx context.Context, key string) ([]byte, error)
	Set(ctx context.Context, key string, value []byte, expiry time.Duration) error
	// SetNew writes a value where there is none, and tells whether it has.
	SetNew(ctx context.Context, key string, value []byte, expiry time.Duration) (bool, error)
}

// A head says what the latest reading was. The pages stand under a key of their own.
type head struct {
	Asked time.Time `json:"asked"`
	// Last is when the last of several pages was asked for.
	Last time.Time `json:"last,omitzero"`
	// Age is that by which the replica polls.
	Age time.Duration `json:"age"`
	// Digest is that of the pages. It is empty where they are too large for the store:
	// then each replica polls for itself.
	Digest string `json:"digest,omitempty"`
	// Trouble is why the latest poll has failed, and Failed when it has.
	Trouble *trouble  `json:"trouble,omitempty"`
	Failed  time.Time `json:"failed,omitzero"`
}

// A trouble is a fault as replicas tell it to each other.
type trouble struct {
	Kind   fault.Kind `json:"kind"`
	Reason string     `json:"reason"`
	Detail string     `json:"detail"`
}

func (t *trouble) fault(operation string) *fault.Error {
	return &fault.Error{Kind: t.Kind, Reason: t.Reason, Detail: t.Detail, Operation: operation}
}

// A page is one answer as replicas hand it to each other.
type page struct {
	Path         string          `json:"path"`
	Query        string          `json:"query,omitempty"`
	Status       int             `json:"status"`
	Organization string          `json:"organization,omitempty"`
	Links        string          `json:"links,omitempty"`
	Next         *dashboard.Link `json:"next,omitempty"`
	Prev         *dashboard.Link `json:"prev,omitempty"`
	// Size is that of the body, which stands behind the list of pages as it came.
	Size int `json:"size"`

	body []byte
	sum  [sha256.Size]byte // of the body
}

func pageOf(c *broker.Call, a *broker.Answer) page {
	return page{
		Path: c.Path, Query: c.Query, Status: a.Status, Organization: a.Organization,
		Links: a.Links, Next: a.Next, Prev: a.Prev, Size: len(a.Body), body: a.Body, sum: sha256.Sum256(a.Body),
	}
}

// answer is the page as the broker keeps it for reads.
func (p *page) answer(asked time.Time) *broker.Answer {
	return &broker.Answer{
		Status: p.Status, Body: p.body, Next: p.Next, Prev: p.Prev, Links: p.Links,
		Organization: p.Organization, Asked: asked,
	}
}

// digestOf is a digest of pages as they came.
func digestOf(pages []page) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, p := range pages {
		fmt.Fprintf(h, "%q %q %x\n", p.Path, p.Query, p.sum)
	}
	h.Sum(sum[:0])
	return sum
}

// id names a read in the store: it tells neither the credential nor the path.
func (k readKey) id() string {
	sum := sha256.Sum256([]byte(k.partition + "\x00" + k.path + "\x00" + k.query))
	return hex.EncodeToString(sum[:])
}

func claimKey(id string, age time.Duration) string {
	return id + ":claim:" + strconv.FormatInt(age.Milliseconds(), 10)
}

func headKey(id string) string  { return id + ":head" }
func pagesKey(id string) string { return id + ":pages" }

// errNoPages: the head names pages that are not there any more, or that cannot be read.
var errNoPages = errors.New("the pages are not in the store")

// readHead reads the latest head; nil where there is none.
func readHead(ctx context.Context, s Shared, id string) (*head, error) {
	text, err := s.Get(ctx, headKey(id))
	if err != nil || text == nil {
		return nil, err
	}
	h := new(head)
	if json.Unmarshal(text, h) != nil || h.Asked.IsZero() || h.Age <= 0 || h.Age > Oldest {
		return nil, nil // not a head of ours: the next reading replaces it
	}
	h.Last = later(h.Asked, h.Last)
	return h, nil
}

// writeHead writes the latest head.
func writeHead(ctx context.Context, s Shared, id string, h head) error {
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return s.Set(ctx, headKey(id), text, lasts(h.Age))
}

// readPages reads the pages of a head, which take no more than most bytes.
func readPages(ctx context.Context, s Shared, id string, h *head, most int64) ([]page, error) {
	packed, err := s.Get(ctx, pagesKey(id))
	if err != nil {
		return nil, err
	}
	pages, err := unpack(packed, most)
	if err != nil || len(pages) == 0 {
		return nil, errNoPages
	}
	if sum := digestOf(pages); hex.EncodeToString(sum[:]) != h.Digest {
		return nil, errNoPages
	}
	return pages, nil
}

// pack writes pages as the store keeps them: a line of JSON, and the bodies as they
// came.
func pack(pages []page) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := json.NewEncoder(z).Encode(pages); err != nil {
		return nil, err
	}
	for _, p := range pages {
		if _, err := z.Write(p.body); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// unpack reads what pack wrote, and no more than most bytes of it.
func unpack(packed []byte, most int64) ([]page, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(z, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > most {
		return nil, fmt.Errorf("more than %d bytes", most)
	}
	line, bodies, _ := bytes.Cut(text, []byte("\n"))
	var pages []page
	if err := json.Unmarshal(line, &pages); err != nil {
		return nil, err
	}
	for i := range pages {
		p := &pages[i]
		if p.Size < 0 || p.Size > len(bodies) {
			return nil, errors.New("a body is cut off")
		}
		p.body, bodies = bodies[:p.Size:p.Size], bodies[p.Size:]
		p.sum = sha256.Sum256(p.body)
	}
	return pages, nil
}
