package sandbox

import (
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/sandbox/document"
)

// Tokens that every paginated operation takes: before the first row, after the last.
const (
	tokenFirst = "0"
	tokenLast  = "ZZZZ-ZZZZ-ZZZZ"
)

// leastPerPage is the smallest page that the documentation allows anywhere.
const leastPerPage = 3

// list answers a collection: a page of it where the operation has pages.
func (s *Sandbox) list(c *request, d *answerForm) *response { return s.page(c, d, s.listing(c, d)) }

func (s *Sandbox) page(c *request, d *answerForm, l *listing) *response {
	paged := d.style != apiv1.PagingStyle_PAGING_STYLE_UNSPECIFIED
	per := l.len()
	if paged {
		n, refusal := perPage(c, d)
		if refusal != nil {
			return refusal
		}
		per = n
	}
	alive := l.alive()
	from, to, refusal := l.window(c, alive, per, paged)
	if refusal != nil {
		return refusal
	}
	a := &response{status: d.status, cacheable: true}
	m := document.Builder{Inventory: s.inventory, At: c.at, Params: c.params, Counted: true, Total: len(alive), Remaining: len(alive) - to}
	a.body = make([]byte, 0, 256*(to-from)+128)
	if d.doc == d.rows && d.doc != nil {
		a.body = l.rows(a.body, alive[from:to])
	} else {
		if l.events && to > from {
			m.Params = append(slices.Clone(m.Params), document.Param{Name: "pageStartAt", Value: l.key(alive[to-1])}, document.Param{Name: "pageEndAt", Value: l.key(alive[from])})
		}
		seed := s.seed(c.path)
		a.body = append(a.body, '{')
		for i := range d.shape.Fields {
			f := &d.shape.Fields[i]
			if i > 0 {
				a.body = append(a.body, ',')
			}
			a.body = append(a.body, f.Key...)
			if f == d.rows {
				a.body = l.rows(a.body, alive[from:to])
				continue
			}
			a.body = m.Field(a.body, f, document.Mix(seed^f.Hash), document.SubjectNone, 0)
		}
		a.body = append(a.body, '}')
	}
	if paged && d.style != apiv1.PagingStyle_PAGING_STYLE_BOUNDED {
		a.link = l.link(c, alive, from, to, per)
	}
	return a
}

func (l *listing) rows(dst []byte, which []int) []byte {
	dst = append(dst, '[')
	for i, n := range which {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = l.row(dst, n)
	}
	return append(dst, ']')
}

// alive numbers the rows that were not deleted and that the query asks for.
func (l *listing) alive() []int {
	out := make([]int, 0, l.len())
	if l.custom != nil {
		for i := range l.len() {
			out = append(out, i)
		}
		return out
	}
	some := l.c.s.store.deleted.Load() > 0
	want := l.filters()
	for i := range l.len() {
		if some && l.c.s.store.isGone(l.base+l.key(i)) {
			continue
		}
		if want != nil && !want.match(document.DecodeObject(l.row(nil, i))) {
			continue
		}
		out = append(out, i)
	}
	return out
}

// perPage reads how many rows a page has; what is out of range is refused.
func perPage(c *request, d *answerForm) (int, *response) {
	most := d.most
	if most <= 0 {
		most = 1000
	}
	text := c.queryValue("perPage")
	if text == "" {
		if d.usual > 0 {
			return d.usual, nil
		}
		return most, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < leastPerPage || n > most {
		return 0, refusal(http.StatusBadRequest, "'perPage' must be an integer between "+strconv.Itoa(leastPerPage)+" and "+strconv.Itoa(most))
	}
	return n, nil
}

// window finds the part of the rows that the tokens ask for.
func (l *listing) window(c *request, alive []int, per int, paged bool) (from, to int, bad *response) {
	to = len(alive)
	if !paged {
		return 0, to, nil
	}
	after, before := c.queryValue("startingAfter"), c.queryValue("endingBefore")
	at := func(name, token string) (int, bool) {
		i, ok := l.find(token)
		if !ok {
			bad = refusal(http.StatusBadRequest, "'"+name+"' is not a token of this collection")
		}
		return i, ok
	}
	switch {
	case l.events:
		return l.eventWindow(alive, after, before, per)
	case after != "" && before != "":
		return 0, 0, refusal(http.StatusBadRequest, "'startingAfter' and 'endingBefore' exclude each other")
	case after != "" && after != tokenFirst:
		i, ok := at("startingAfter", after)
		if !ok {
			return 0, 0, bad
		}
		from = sort.SearchInts(alive, i+1)
	case before == tokenLast:
		from = max(0, to-per)
	case before != "":
		i, ok := at("endingBefore", before)
		if !ok {
			return 0, 0, bad
		}
		to = sort.SearchInts(alive, i)
		from = max(0, to-per)
	}
	return from, min(to, from+per), nil
}

// eventWindow is the window of a collection whose tokens are instants and whose
// newest row comes first.
func (l *listing) eventWindow(alive []int, after, before string, per int) (from, to int, bad *response) {
	read := func(name, token string) (time.Time, bool) {
		t, err := time.Parse(time.RFC3339, token)
		if err != nil {
			bad = refusal(http.StatusBadRequest, "'"+name+"' must be an instant")
		}
		return t, err == nil
	}
	to = len(alive)
	if before != "" {
		t, ok := read("endingBefore", before)
		if !ok {
			return 0, 0, bad
		}
		from = sort.Search(len(alive), func(i int) bool { return eventTime(alive[i]).Before(t) })
	}
	if after != "" && after != tokenFirst {
		t, ok := read("startingAfter", after)
		if !ok {
			return 0, 0, bad
		}
		to = sort.Search(len(alive), func(i int) bool { return !eventTime(alive[i]).After(t) })
		if before == "" {
			from = max(0, to-per)
		}
	}
	from = min(from, to)
	return from, min(to, from+per), nil
}

// link writes the Link header. The vendor documents it with bare relations, and
// clients have met quoted ones, too.
func (l *listing) link(c *request, alive []int, from, to, per int) string {
	quote := ""
	if how := c.s.opts.LinkRelations; how == "quoted" || how == "mixed" && c.route.salt%2 == 0 {
		quote = `"`
	}
	q := url.Values{}
	for k, v := range c.query() {
		if k != "startingAfter" && k != "endingBefore" {
			q[k] = v
		}
	}
	q.Set("perPage", strconv.Itoa(per))
	base := c.base() + "/api/v1" + c.path + "?"
	var b strings.Builder
	add := func(rel, name, token string) {
		q.Set(name, token)
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString("<" + base + q.Encode() + ">; rel=" + quote + rel + quote)
		q.Del(name)
	}
	if l.events {
		endless := c.s.wire.Load().EndlessEvents
		switch {
		case to > from && (to < len(alive) || endless):
			add("prev", "endingBefore", l.key(alive[to-1]))
		case to == from && endless:
			before, err := time.Parse(time.RFC3339, c.queryValue("endingBefore"))
			if err != nil {
				before = eventTime(0)
			}
			add("prev", "endingBefore", before.AddDate(0, 0, -1).UTC().Format(time.RFC3339))
		}
		if from > 0 && to > from {
			add("next", "startingAfter", l.key(alive[from]))
		}
		return b.String()
	}
	add("first", "startingAfter", tokenFirst)
	if from > 0 && to > from {
		add("prev", "endingBefore", l.key(alive[from]))
	}
	if to < len(alive) && to > from {
		add("next", "startingAfter", l.key(alive[to-1]))
	}
	add("last", "endingBefore", tokenLast)
	return b.String()
}
