package sandbox

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/sandbox/document"
)

var linkPart = regexp.MustCompile(`<([^>]*)>; rel=("?)([a-z]+)"?`)

// links reads a Link header into path and query by relation.
func links(t testing.TB, header string) (out map[string]string, quoted bool) {
	t.Helper()
	out = map[string]string{}
	for _, m := range linkPart.FindAllStringSubmatch(header, -1) {
		u, err := url.Parse(m[1])
		if err != nil {
			t.Fatal(err)
		}
		out[m[3]] = strings.TrimPrefix(u.RequestURI(), "/api/v1")
		quoted = m[2] != ""
	}
	return out, quoted
}

// rowsOf finds the rows of an answer, whatever form the collection has.
func rowsOf(t testing.TB, d *answerForm, g got) []any {
	t.Helper()
	if g.status != 200 {
		t.Fatalf("%d %s", g.status, g.body)
	}
	v, err := document.Decode([]byte(g.body))
	if err != nil {
		t.Fatal(err)
	}
	if o, ok := v.(map[string]any); ok {
		v = o[d.rows.Name]
	}
	l, _ := v.([]any)
	return l
}

// TestEveryWalk walks each paginated operation forward by pages of three, and
// back again, and compares with the collection in one piece.
func TestEveryWalk(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, Options{LimitsOff: true, LinkRelations: "mixed"})
	forms, walked := map[bool]int{}, 0
	for _, r := range s.router.routes {
		style := r.op.GetPaging().GetStyle()
		if style != apiv1.PagingStyle_PAGING_STYLE_LINK && style != apiv1.PagingStyle_PAGING_STYLE_LINK_BACKWARD {
			continue
		}
		d := s.form(r)
		if d.kind == rowsNone || strings.Contains(r.op.GetPath(), "/apiRequests") || r.op.GetId() == "getOrganizations" {
			continue
		}
		if d.rows == nil {
			t.Errorf("%s: no collection in the answer", r.op.GetId())
			continue
		}
		path := fillPath(s, r.op.GetPath())
		var whole []any
		if d.most >= 100 || d.most == 0 {
			whole = rowsOf(t, d, ask(t, s, "GET", path+"?perPage=100", ""))
		}
		forward, back := "next", "prev"
		if style == apiv1.PagingStyle_PAGING_STYLE_LINK_BACKWARD {
			forward, back = back, forward
		}
		var pages [][]any
		var last map[string]string
		for next := path + "?perPage=3"; next != ""; {
			g := ask(t, s, "GET", next, "")
			pages = append(pages, rowsOf(t, d, g))
			l, quoted := links(t, g.header.Get("Link"))
			forms[quoted]++
			next, last = l[forward], l
			if len(pages) > 100 {
				t.Fatalf("%s: no end", r.op.GetId())
			}
		}
		if len(pages) < 3 && d.kind == rowsMade {
			t.Errorf("%s: %d pages", r.op.GetId(), len(pages))
		}
		var all []any
		for _, p := range pages {
			all = append(all, p...)
		}
		if whole != nil && string(document.Encode(all)) != string(document.Encode(whole)) {
			t.Errorf("%s: the pages are not the whole", r.op.GetId())
		}
		for i := len(pages) - 2; i >= 0; i-- {
			g := ask(t, s, "GET", last[back], "")
			if string(document.Encode(rowsOf(t, d, g))) != string(document.Encode(pages[i])) {
				t.Errorf("%s: page %d differs on the way back", r.op.GetId(), i)
				break
			}
			last, _ = links(t, g.header.Get("Link"))
		}
		walked++
	}
	if walked < 150 || forms[true] == 0 || forms[false] == 0 {
		t.Errorf("%d walked, %v by form of the relation", walked, forms)
	}
}

func TestPerPage(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, open())
	base := "/organizations/" + s.OrganizationID(0) + "/devices?"
	for _, row := range []struct {
		query string
		want  int
	}{
		{"perPage=3", 200}, {"perPage=2", 400}, {"perPage=0", 400}, {"perPage=-1", 400}, {"perPage=x", 400}, {"perPage=1000", 200}, {"perPage=100000", 400},
		{"startingAfter=nonsense", 400}, {"endingBefore=nonsense", 400}, {"startingAfter=0", 200}, {"startingAfter=0&endingBefore=ZZZZ-ZZZZ-ZZZZ", 400},
	} {
		if g := ask(t, s, "GET", base+row.query, ""); g.status != row.want {
			t.Errorf("%s: %d, want %d: %s", row.query, g.status, row.want, g.body)
		}
	}
}

// A row that is deleted between two pages neither loses nor repeats another one.
func TestDeleteBetweenPages(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, open())
	path := "/organizations/" + s.OrganizationID(0) + "/networks"
	all := ids(ask(t, s, "GET", path, "").list(t), "id")
	g := ask(t, s, "GET", path+"?perPage=3", "")
	if g := ask(t, s, "DELETE", "/networks/"+all[0], ""); g.status != 204 {
		t.Fatal(g)
	}
	l, _ := links(t, g.header.Get("Link"))
	if rest := ids(ask(t, s, "GET", l["next"], "").list(t), "id"); len(rest) != 1 || rest[0] != all[3] {
		t.Errorf("the second page: %v of %v", rest, all)
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, open())
	org := "/organizations/" + s.OrganizationID(0)
	for _, row := range []struct {
		path string
		want int
	}{
		{org + "/devices?networkIds[]=" + s.NetworkID(0, 0), 5},
		{org + "/devices?serials[]=" + s.Serial(0, 0, 0) + "&serials[]=" + s.Serial(0, 1, 2), 2},
		{org + "/devices?productTypes[]=switch", 7},
		{org + "/inventory/devices?serials[]=nothing", 0},
		{org + "/networks?productTypes[]=camera", 2},
		{org + "/devices/statuses?networkIds%5B%5D=" + s.NetworkID(0, 0), 5},
	} {
		if rows := ask(t, s, "GET", row.path, "").list(t); len(rows) != row.want {
			t.Errorf("%s: %d rows, want %d", row.path, len(rows), row.want)
		}
	}
}
