package broker

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
)

// TestPages follows links to the last page, and no further: a link to the page itself
// is the end, one to an earlier page an error, and a list backward in time has one page.
func TestPages(t *testing.T) {
	stop := errors.New("enough")
	cases := []struct {
		name  string
		links map[string]string // from a query to the next
		style apiv1.PagingStyle
		until int
		pages int
		err   error
	}{
		{name: "three", links: map[string]string{"n=0": "n=1", "n=1": "n=2"}, pages: 3},
		{name: "the last names itself", links: map[string]string{"n=0": "n=1", "n=1": "n=1"}, pages: 2},
		{name: "circle", links: map[string]string{"n=0": "n=1", "n=1": "n=0"}, pages: 2, err: &fault.Error{Kind: fault.Malformed}},
		{name: "to another path", links: map[string]string{"n=0": "n=1", "n=1": "elsewhere"}, pages: 2, err: &fault.Error{Kind: fault.Malformed}},
		{name: "to no path", links: map[string]string{"n=0": "nowhere"}, pages: 1, err: &fault.Error{Kind: fault.Malformed}},
		{name: "backward", links: map[string]string{"n=0": "n=1"}, style: apiv1.PagingStyle_PAGING_STYLE_LINK_BACKWARD, pages: 1},
		{name: "ended by the reader", links: map[string]string{"n=0": "n=1", "n=1": "n=2"}, until: 2, pages: 2, err: stop},
		{name: "a page fails", links: map[string]string{"n=0": "n=1", "n=1": "fails"}, pages: 2, err: &fault.Error{Kind: fault.Forbidden}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := &fakeDashboard{answer: func(r *dashboard.Request) *dashboard.Result {
				if r.Query == "fails" {
					return status(403)
				}
				a := ok(fmt.Sprintf("[%q]", r.Query))
				if next := c.links[r.Query]; next != "" {
					a.Next = &dashboard.Link{Path: r.Path, Query: next}
				}
				switch {
				case a.Next == nil:
				case a.Next.Query == "elsewhere":
					a.Next.Path = "/organizations/2/networks"
				case a.Next.Query == "nowhere":
					a.Next = &dashboard.Link{Refusal: "leads nowhere"}
				}
				return a
			}}
			inBubble(t, d, func(t *testing.T, b *Broker) {
				call := read("1", 0)
				if c.style != 0 {
					call.Operation.Paging = &apiv1.Paging{Style: c.style}
				}
				pages := 0
				err := b.Pages(t.Context(), call, func(page *Call, a *Answer) error {
					if string(a.Body) != fmt.Sprintf("[%q]", page.Query) || a.Asked.IsZero() {
						t.Errorf("page %q: %s, asked for at %v", page.Query, a.Body, a.Asked)
					}
					if pages++; pages == c.until {
						return stop
					}
					return nil
				})
				if pages != c.pages || !errors.Is(err, c.err) {
					t.Errorf("%d pages, %v; want %d, %v", pages, err, c.pages, c.err)
				}
			})
		})
	}
}

// TestSettledAsksTheRules: a call that is settled has its key and was not made.
func TestSettledAsksTheRules(t *testing.T) {
	d := &fakeDashboard{}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		other := dashboard.NewKey("of the organization")
		call := read("1", 0)
		call.Settle = func(organization string, _ []string) (dashboard.Key, error) {
			if organization != "1" {
				return dashboard.Key{}, &fault.Error{Kind: fault.CallerNotAllowed}
			}
			return other, nil
		}
		settled, err := b.Settled(t.Context(), call)
		if err != nil || settled.Key.ID() != other.ID() || settled.Settle != nil || call.Settle == nil {
			t.Errorf("%+v, %v", settled, err)
		}
		call.ID = "2"
		if _, err := b.Settled(t.Context(), call); !errors.Is(err, &fault.Error{Kind: fault.CallerNotAllowed}) {
			t.Errorf("another organization: %v", err)
		}
		call.Path = "relative"
		if _, err := b.Settled(t.Context(), call); !errors.Is(err, &fault.Error{Kind: fault.BadRequest}) {
			t.Errorf("a call that is wrong: %v", err)
		}
		if d.count() != 0 {
			t.Errorf("%d requests", d.count())
		}
	})
}

// TestKeep: an answer of another replica's serves reads here within its age, is renewed
// where it would have been the same, and is dropped by a write here.
func TestKeep(t *testing.T) {
	d := &fakeDashboard{answer: func(*dashboard.Request) *dashboard.Result { return ok("[1]") }}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		call := read("1", 0)
		call.MaxAge = 10 * time.Second
		get := func(want string) {
			t.Helper()
			a, err := b.Do(t.Context(), call)
			if err != nil || a.Cache != want {
				t.Errorf("%+v, %v; want a %s", a, err, want)
			}
		}
		tick := func(d time.Duration) { _ = pause(t.Context(), d) }
		get(CacheMiss) // and old answers are wanted from here on
		tick(11 * time.Second)
		b.Keep(call, &Answer{Body: []byte("[2]"), Organization: "1", Asked: time.Now().Add(-time.Second)})
		get(CacheHit)
		tick(9 * time.Second)
		b.Renew(call, sha256.Sum256([]byte("[1]")), time.Now())
		tick(time.Second)
		get(CacheMiss) // the body was another one
		tick(5 * time.Second)
		b.Renew(call, sha256.Sum256([]byte("[1]")), time.Now())
		tick(10 * time.Second)
		get(CacheHit)
		asked := time.Now()
		tick(time.Second)
		if _, err := b.Do(t.Context(), write(apiv1.Verb_VERB_PUT, "1")); err != nil {
			t.Fatal(err)
		}
		b.Keep(call, &Answer{Body: []byte("[3]"), Organization: "1", Asked: asked})
		get(CacheMiss)
	})
}
