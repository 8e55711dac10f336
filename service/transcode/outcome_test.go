package transcode

import (
	"bytes"
	"go/parser"
	"go/token"
	"runtime"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/merakibroker/merakibroker/service/fault"
)

// An outcome is one line of the package comment's table for answers: documents
// that show it, each with the message and the drifts that come of it.
type outcome struct {
	line string // as it stands in the table
	id   string // the operation; getThing when empty
	docs []outcomeDoc
}

type outcomeDoc struct {
	doc   string
	want  string // the message as prototext; "malformed" for a fault
	drift string // drifts, with commas between them
}

func responseOutcomes() []outcome {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	return []outcome{
		{line: "an empty body, or only white space", docs: []outcomeDoc{{"", "", ""}, {" \r\n\t", "", ""}}},
		{line: "null as document, field, value in a map", docs: []outcomeDoc{
			{"null", "", ""}, {`{"name":null,"tags":null,"part":null,"labels":{"a":null,"b":"c"},"anything":null}`, `labels{key:"b" value:"c"}`, ""}}},
		{line: "null in a list", docs: []outcomeDoc{{`{"tags":["a",null],"ports":[null,1],"values":[null]}`, `tags:"a" ports:1 values{null_value:NULL_VALUE}`, "tags[] left_out,ports[] left_out"}}},
		{line: "a key that the contract does not have", docs: []outcomeDoc{{`{"stranger":[{"x":1}],"part":{"odd":1}}`, `part{}`, "stranger unknown_field,part.odd unknown_field"}}},
		{line: "a number or boolean for a string", docs: []outcomeDoc{{`{"name":12.50}`, `name:"12.50"`, "name converted"}, {`{"name":true}`, `name:"true"`, "name converted"}}},
		{line: "a string for a number", docs: []outcomeDoc{
			{`{"count":"12","ratio":"1.5e3"}`, `count:12 ratio:1500`, "count converted,ratio converted"},
			{`{"count":"12a","ratio":""}`, ``, "count left_out,ratio left_out"}, {`{"count":"007"}`, ``, "count left_out"}, {`{"ratio":"NaN"}`, ``, "ratio left_out"}}},
		{line: "a string for a boolean", docs: []outcomeDoc{{`{"active":"true"}`, `active:true`, "active converted"}, {`{"active":"yes"}`, ``, "active left_out"}, {`{"active":1}`, ``, "active left_out"}}},
		{line: "a number with a point or exponent for an integer", docs: []outcomeDoc{
			{`{"count":1.0}`, `count:1`, "count converted"}, {`{"count":15e-1}`, ``, "count left_out"}, {`{"count":1e3}`, `count:1000`, "count converted"}}},
		{line: "an integer beyond 64 bits", docs: []outcomeDoc{
			{`{"count":9223372036854775807}`, `count:9223372036854775807`, ""}, {`{"count":9223372036854775808}`, ``, "count left_out"}, {`{"count":-9223372036854775808}`, `count:-9223372036854775808`, ""}}},
		{line: "an integer that a double would change", docs: []outcomeDoc{
			{`{"ratio":9007199254740993}`, ``, "ratio left_out"}, {`{"ratio":9007199254740992}`, `ratio:9007199254740992`, ""},
			{`{"anything":9007199254740993}`, `anything{string_value:"9007199254740993"}`, "anything converted"}}},
		{line: "1e400", docs: []outcomeDoc{
			{`{"ratio":1e400,"count":1e400}`, ``, "ratio left_out,count left_out"}, {`{"anything":1e400}`, `anything{string_value:"1e400"}`, "anything converted"}, {`{"ratio":1e-400}`, `ratio:0`, ""}}},
		{line: "-0", docs: []outcomeDoc{{`{"ratio":-0,"count":-0}`, `ratio:-0 count:0`, ""}}},
		{line: "a number of very many digits", docs: []outcomeDoc{
			{`{"ratio":` + strings.Repeat("1", 4000) + `,"count":` + strings.Repeat("1", 4000) + `}`, ``, "ratio left_out,count left_out"},
			{`{"count":1` + strings.Repeat("0", 4000) + `e-4000}`, `count:1`, "count converted"}}},
		{line: "a date-time", docs: []outcomeDoc{
			{`{"times":["1970-01-01T00:00:01Z","1970-01-01 00:00:01","1970-01-01t01:00:01.5+01:00","1970-01-01T00:00:01-0000","1970-01-01 00:00:01 UTC"]}`,
				`times{seconds:1} times{seconds:1} times{seconds:1 nanos:500000000} times{seconds:1} times{seconds:1}`, ""},
			{`{"lastSeen":"1970-01-01T00:00:00.1234567891Z"}`, `last_seen{nanos:123456789}`, "lastSeen converted"}}},
		{line: "another text, or a number, for a date-time", docs: []outcomeDoc{
			{`{"lastSeen":1526087474}`, ``, "lastSeen left_out"}, {`{"lastSeen":"yesterday"}`, ``, "lastSeen left_out"}, {`{"lastSeen":"2021-02-29T00:00:00Z"}`, ``, "lastSeen left_out"},
			{`{"lastSeen":"2021-02-01"}`, ``, "lastSeen left_out"}, {`{"lastSeen":""}`, ``, "lastSeen left_out"}}},
		{line: "one element where a list is expected", docs: []outcomeDoc{
			{`{"tags":"a","ports":"1","parts":{"id":"b"},"mixed":"c"}`, `tags:"a" ports:1 parts{id:"b"} mixed{values{string_value:"c"}}`,
				"tags converted,ports converted,ports[] converted,parts converted,mixed converted"}}},
		{line: "an object or list where a scalar is expected, and the reverse", docs: []outcomeDoc{
			{`{"name":{},"count":[1],"part":"x","parts":"y","labels":[],"settings":1,"tags":{}}`, ``,
				"name left_out,count left_out,part left_out,parts left_out,labels left_out,settings left_out,tags left_out"}}},
		{line: "one object as document where a list is", id: "getThings", docs: []outcomeDoc{{`{"name":"a"}`, `items{name:"a"}`, "items converted"}}},
		{line: "a list as document where an object with items is", id: "getShelf", docs: []outcomeDoc{{`[{"name":"a"},{}]`, `items{name:"a"} items{}`, "items converted"}}},
		{line: "any other document of another kind", docs: []outcomeDoc{{`[1]`, ``, "$ left_out"}, {`"x"`, ``, "$ left_out"}}},
		{line: "a key that stands twice", docs: []outcomeDoc{
			{`{"name":"a","name":"b"}`, `name:"b"`, "name left_out"}, {`{"part":{"id":"a","port":1},"part":{"id":"b"}}`, `part{id:"b"}`, "part left_out"},
			{`{"tags":["a"],"tags":["b"]}`, `tags:"b"`, "tags left_out"}, {`{"name":"a","name":null}`, ``, "name left_out"}}},
		{line: "a key that stands twice in a map or a free value", docs: []outcomeDoc{
			{`{"labels":{"a":"b","a":"c"},"settings":{"a":1,"a":null}}`, `labels{key:"a" value:"c"} settings{fields{key:"a" value{null_value:NULL_VALUE}}}`, ""},
			{`{"labels":{"a":"b","a":null}}`, `labels{key:"a" value:"b"}`, ""}}},
		{line: "a lone surrogate", docs: []outcomeDoc{{`{"name":"\ud800x","tags":["\udc00\ud83d\ude00"]}`, `name:"\ufffdx" tags:"\ufffd\U0001f600"`, "name converted,tags[] converted"}}},
		{line: "a byte that is not UTF-8", docs: []outcomeDoc{{"{\"name\":\"a\xff\xfeb\"}", `name:"a\ufffd\ufffdb"`, "name converted"}}},
		{line: "NUL", docs: []outcomeDoc{{`{"name":"a\u0000b"}`, `name:"a\000b"`, ""}, {"{\"name\":\"a\x00b\"}", "malformed", ""}}},
		{line: "deep nesting", id: "getAny", docs: []outcomeDoc{{deep(201), "malformed", ""}, {`{"a":` + deep(200) + `}`, "malformed", ""}}},
		{line: "text that is not JSON, that breaks off, or goes on", docs: []outcomeDoc{
			{"<html>", "malformed", ""}, {`{"name":"a"`, "malformed", ""}, {`{"name":"a`, "malformed", ""}, {`{} {}`, "malformed", ""}, {`{"name":"a",}`, "malformed", ""}, {`{"stranger":01}`, "malformed", ""},
			{`{"stranger":"\x"}`, "malformed", ""}, {"\xef\xbb\xbf{}", "malformed", ""}, {`{'name':1}`, "malformed", ""}, {`{"count":1.}`, "malformed", ""}, {`{"count":NaN}`, "malformed", ""}}},
	}
}

func TestResponseOutcomes(t *testing.T) {
	t.Parallel()
	for _, o := range responseOutcomes() {
		if o.id == "" {
			o.id = "getThing"
		}
		c := cornerOf(t, o.id)
		for _, d := range o.docs {
			var drifts []string
			wire, err := c.plan.Response(nil, []byte(d.doc), nil, func(path string, d Drift) { drifts = append(drifts, path+" "+d.String()) })
			if d.want == "malformed" {
				if f := fault.As(err); f == nil || f.Kind != fault.Malformed || !strings.Contains(f.Detail, " at byte ") {
					t.Errorf("%s: %.80q: %v", o.line, d.doc, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %.80q: %v", o.line, d.doc, err)
				continue
			}
			got, want := dynamicpb.NewMessage(c.method.Output()), dynamicpb.NewMessage(c.method.Output())
			if err := proto.Unmarshal(wire, got); err != nil {
				t.Fatal(err)
			}
			if err := prototext.Unmarshal([]byte(d.want), want); err != nil {
				t.Fatalf("%s: %v", o.line, err)
			}
			if !proto.Equal(got, want) {
				t.Errorf("%s: %.80q became %v, want %v", o.line, d.doc, got, want)
			}
			if all := strings.Join(drifts, ","); all != d.drift {
				t.Errorf("%s: %.80q drifts %q, want %q", o.line, d.doc, all, d.drift)
			}
		}
	}
}

// tableLines gives the first column of a table in the package comment.
func tableLines(t *testing.T, head string) (lines []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	inTable := false
	for line := range strings.Lines(file.Doc.Text()) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "\t"+head):
			inTable = true
		case inTable && !strings.HasPrefix(line, "\t"):
			return lines
		case inTable && !strings.HasPrefix(line, "\t  "):
			name, _, _ := strings.Cut(strings.TrimSpace(line), " | ")
			lines = append(lines, strings.TrimSpace(name))
		}
	}
	return lines
}

// TestTable holds the package comment against the tests: each line of its two
// tables is a test, and each test a line.
func TestTable(t *testing.T) {
	t.Parallel()
	answers := []string{"a string of 100 MB"} // TestHugeString, because of its size
	for _, o := range responseOutcomes() {
		answers = append(answers, o.line)
	}
	var requests []string
	for _, row := range requestRows() {
		if row.line != "" {
			requests = append(requests, row.line)
		}
	}
	for head, shown := range map[string][]string{"a request holds": requests, "an answer holds": answers} {
		lines := tableLines(t, head)
		slices.Sort(lines)
		slices.Sort(shown)
		if !slices.Equal(lines, shown) {
			t.Errorf("%s: the table has %q, the tests show %q", head, lines, shown)
		}
	}
}

// TestHugeString: a string costs its own length in the wire, and no copy beside it.
func TestHugeString(t *testing.T) {
	const size = 100 << 20
	doc := make([]byte, 0, size+32)
	doc = append(doc, `{"name":"`...)
	doc = append(doc, bytes.Repeat([]byte("0123456789abcdef"), size/16)...)
	doc = append(doc, `\n"}`...)
	buffer := make([]byte, 0, size+64)
	plan := cornerOf(t, "getThing").plan
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	wire, err := plan.Response(buffer, doc, nil, nil)
	runtime.ReadMemStats(&after)
	if err != nil || len(wire) != size+6 {
		t.Fatalf("%d bytes, %v", len(wire), err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("%d bytes beside the buffer", grown)
	}
}

// TestNoAllocations: with a buffer that fits, reading a document allocates nothing.
func TestNoAllocations(t *testing.T) {
	c := cornerOf(t, "getThings")
	doc := []byte(`[{"name":"a","count":-5,"ratio":0.30000000000000004,"active":true,"lastSeen":"2020-01-01T00:00:00.5Z","tags":["x","\u00e9"],"ports":[1,"2",3.0],
		"part":{"id":5,"inner":{"stranger":[{"a":"b"}]}},"settings":{"a":[1,{"b":null}],"c":12345678901234567},"lldp":[["a","b"],[]],"0.5":7,"far":"f","labels":{"a":"b"},"name":"twice"}]`)
	buffer := make([]byte, 0, 4096)
	page := &Page{NextStartingAfter: "token", HasNext: true}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := c.plan.Response(buffer, doc, page, nil); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations to read an answer", n)
	}
	get := requestSeed(t, "getThings", `{"organizationId":"1","perPage":"5","serials":["a","b"]}`)
	if n := testing.AllocsPerRun(100, func() { _, _ = c.plan.Request(get) }); n > 2 {
		t.Errorf("%v allocations for a request without a body: the result and its URL are 2", n)
	}
	put := requestSeed(t, "updateThing", `{"networkId":"N_1","number":5,"name":"a","parts":[{"id":"1"}],"counts":{"a":"1"},"settings":{"a":[1]}}`)
	update := cornerOf(t, "updateThing").plan
	if n := testing.AllocsPerRun(100, func() { _, _ = update.Request(put) }); n > 3 {
		t.Errorf("%v allocations for a request with a body: the result, its URL and the body are 3", n)
	}
}
