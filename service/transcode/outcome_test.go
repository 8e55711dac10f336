package transcode

import (
	"bytes"
	"fmt"
	"go/parser"
	"go/token"
	"runtime"
	"slices"
	"strconv"
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
	want  string // the message as prototext; "malformed" for a fault, and "errors: ..." for one with errors
	drift string // drifts, with commas between them
}

// member is one entry of a google.protobuf.Struct as prototext.
func member(key, value string) string {
	return fmt.Sprintf("fields{key:%q value{%s}} ", key, value)
}

// kept is a document with one property that does not fit its field.
func kept(name, value, want string) outcomeDoc {
	return outcomeDoc{fmt.Sprintf(`{%q:%s}`, name, value), "additional_properties{" + member(name, want) + "}", name + " left_out"}
}

func text(name, value string) outcomeDoc {
	return kept(name, strconv.Quote(value), "string_value:"+strconv.Quote(value))
}

func number(name, text string, value float64) outcomeDoc {
	return kept(name, text, "number_value:"+strconv.FormatFloat(value, 'g', -1, 64))
}

// digits is a number that stays a text.
func digits(name, number string) outcomeDoc {
	return kept(name, number, "string_value:"+strconv.Quote(number))
}

// whole is a document that is kept under _json.
func whole(doc, want string) outcomeDoc {
	drift := "$ left_out"
	return outcomeDoc{doc, "additional_properties{" + member("_json", want) + "}", drift}
}

// nested is a value in lists inside each other.
func nested(n int, value string) string {
	return strings.Repeat("list_value{values{", n) + value + strings.Repeat("}}", n)
}

func responseOutcomes() []outcome {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	return []outcome{
		{line: "an empty body, or only white space", docs: []outcomeDoc{{"", "", ""}, {" \r\n\t", "", ""}}},
		{line: "null as a property", docs: []outcomeDoc{{`{"name":null,"tags":null,"part":null,"labels":null,"anything":null}`, ``, ""}}},
		{line: "null in a list, or as a value in a map", docs: []outcomeDoc{
			{`{"tags":["a",null],"ports":[null,1],"values":[null],"parts":[{},null]}`, `values{null_value:NULL_VALUE} additional_properties{` + member("tags", `list_value{values{string_value:"a"} values{null_value:0}}`) +
				member("ports", `list_value{values{null_value:0} values{number_value:1}}`) + member("parts", `list_value{values{struct_value{}} values{null_value:0}}`) + `}`, "tags[] left_out,ports[] left_out,parts[] left_out"},
			{`{"labels":{"a":null,"b":"c"},"details":{"a":null}}`, `details{key:"a" value{null_value:0}} additional_properties{` + member("labels", `struct_value{`+member("a", "null_value:0")+member("b", `string_value:"c"`)+`}`) + `}`, "labels.* left_out"}}},
		{line: "a key that the contract does not have", docs: []outcomeDoc{
			{`{"stranger":[{"x":null}],"part":{"odd":1}}`, `part{additional_properties{` + member("odd", "number_value:1") + `}} additional_properties{` + member("stranger", `list_value{values{struct_value{`+member("x", "null_value:0")+`}}}`) + `}`, "stranger unknown_field,part.odd unknown_field"},
			{`{"additional_properties":{"a":1},"additionalProperties":2}`, `additional_properties{` + member("additional_properties", `struct_value{`+member("a", "number_value:1")+`}`) + member("additionalProperties", "number_value:2") + `}`, "additional_properties unknown_field,additionalProperties unknown_field"}}},
		{line: "[] or {} in an element of a list or a value of a map", docs: []outcomeDoc{
			{`{"tags":[],"labels":{},"part":{"inners":[]},"parts":[],"lldp":[[]]}`, `part{} lldp{}`, ""},
			{`{"parts":[{"inners":[],"named":{},"inner":{"inners":[]}}],"slots":{"a":{"inners":[]}}}`, `parts{additional_properties{` + member("inners", "list_value{}") + member("named", "struct_value{}") + `} inner{additional_properties{` + member("inners", "list_value{}") + `}}} ` +
				`slots{key:"a" value{additional_properties{` + member("inners", "list_value{}") + `}}}`, ""}}},
		{line: "a number or boolean for a string", docs: []outcomeDoc{{`{"name":12.50}`, `name:"12.50"`, "name converted"}, {`{"name":true}`, `name:"true"`, "name converted"}}},
		{line: "a string for a number", docs: []outcomeDoc{
			{`{"count":"12","ratio":"1.5"}`, `count:12 ratio:1.5`, "count converted,ratio converted"}, text("count", "12a"), text("ratio", ""), text("count", "007"), text("count", "1e3"), text("count", "-0"), text("ratio", "NaN"), text("ratio", "1.50")}},
		{line: "a string for a boolean", docs: []outcomeDoc{{`{"active":"true"}`, `active:true`, "active converted"}, text("active", "yes"), number("active", "1", 1)}},
		{line: "a number with a point or exponent for an integer", docs: []outcomeDoc{{`{"count":1.0}`, `count:1`, "count converted"}, {`{"count":1e3}`, `count:1000`, "count converted"}, number("count", "15e-1", 1.5)}},
		{line: "an integer beyond 64 bits", docs: []outcomeDoc{{`{"count":9223372036854775807}`, `count:9223372036854775807`, ""}, {`{"count":-9223372036854775808}`, `count:-9223372036854775808`, ""},
			number("count", "9223372036854775808", 1<<63), digits("count", "9223372036854775809")}},
		{line: "a number that a double would change", docs: []outcomeDoc{
			digits("ratio", "9007199254740993"), digits("ratio", "3.14159265358979323846"), {`{"ratio":9007199254740992}`, `ratio:9007199254740992`, ""}, {`{"ratio":0.30000000000000004}`, `ratio:0.30000000000000004`, ""},
			{`{"anything":9007199254740993}`, `anything{string_value:"9007199254740993"}`, "anything converted"}, {`{"samples":[1,9007199254740993]}`, `additional_properties{` + member("samples", `list_value{values{number_value:1} values{string_value:"9007199254740993"}}`) + `}`, "samples[] left_out"}}},
		{line: "1e400, and 1e-400", docs: []outcomeDoc{digits("ratio", "1e400"), digits("count", "1e400"), digits("ratio", "1e-400"), {`{"anything":1e400}`, `anything{string_value:"1e400"}`, "anything converted"}}},
		{line: "-0", docs: []outcomeDoc{{`{"ratio":-0,"count":-0}`, `ratio:-0 count:0`, ""}}},
		{line: "a number of very many digits", docs: []outcomeDoc{digits("ratio", strings.Repeat("1", 4000)), digits("count", strings.Repeat("1", 4000)), {`{"count":1` + strings.Repeat("0", 4000) + `e-4000}`, `count:1`, "count converted"}}},
		{line: "a date-time", docs: []outcomeDoc{
			{`{"times":["1970-01-01T00:00:01Z","1970-01-01 00:00:01","1970-01-01t01:00:01.5+01:00","1970-01-01T00:00:01-0000","1970-01-01 00:00:01 UTC"]}`,
				`times{seconds:1} times{seconds:1} times{seconds:1 nanos:500000000} times{seconds:1} times{seconds:1}`, ""}, {`{"lastSeen":"1970-01-01T00:00:00.1234567890Z"}`, `last_seen{nanos:123456789}`, ""}}},
		{line: `"" for a date-time`, docs: []outcomeDoc{{`{"lastSeen":""}`, ``, ""}}},
		{line: "another text, or a number, for a date-time", docs: []outcomeDoc{number("lastSeen", "1526087474", 1526087474), text("lastSeen", "yesterday"), text("lastSeen", "2021-02-29T00:00:00Z"), text("lastSeen", "2021-02-01"), text("lastSeen", "1970-01-01T00:00:00.1234567891Z")}},
		{line: "one element where a list is expected", docs: []outcomeDoc{text("tags", "a"), text("ports", "1"), text("mixed", "c"), {`{"parts":{"id":"b"}}`, `additional_properties{` + member("parts", `struct_value{`+member("id", `string_value:"b"`)+`}`) + `}`, "parts left_out"}}},
		{line: "an object or list where a scalar is expected, and the reverse", docs: []outcomeDoc{
			kept("name", `{}`, `struct_value{}`), kept("count", `[1]`, `list_value{values{number_value:1}}`), text("part", "x"), kept("labels", `[]`, `list_value{}`), number("settings", "1", 1), kept("tags", `{}`, `struct_value{}`), kept("lastSeen", `{}`, `struct_value{}`)}},
		{line: "an element of another kind in a list", docs: []outcomeDoc{
			{`{"ports":[1,"x"],"parts":[{"id":"a"},"b"],"tags":["a",{}]}`, `additional_properties{` + member("ports", `list_value{values{number_value:1} values{string_value:"x"}}`) +
				member("parts", `list_value{values{struct_value{`+member("id", `string_value:"a"`)+`}} values{string_value:"b"}}`) + member("tags", `list_value{values{string_value:"a"} values{struct_value{}}}`) + `}`, "ports[] left_out,parts[] left_out,tags[] left_out"},
			{`{"lldp":[["a"],"b"]}`, `additional_properties{` + member("lldp", `list_value{values{list_value{values{string_value:"a"}}} values{string_value:"b"}}`) + `}`, "lldp[] left_out"},
			{`{"ports":["1",2]}`, `ports:[1,2]`, "ports[] converted"}}},
		{line: "an odd property in an element of a list", docs: []outcomeDoc{
			{`{"parts":[{"id":"a","port":"x"},{"odd":1,"port":2}]}`, `parts{id:"a" additional_properties{` + member("port", `string_value:"x"`) + `}} parts{port:2 additional_properties{` + member("odd", "number_value:1") + `}}`, "parts[].port left_out,parts[].odd unknown_field"}}},
		{line: "an object as document where a list is", id: "getThings", docs: []outcomeDoc{
			{`{"items":[{"name":"a"}],"meta":{"total":1}}`, `items{name:"a"} additional_properties{` + member("meta", `struct_value{`+member("total", "number_value:1")+`}`) + `}`, "meta unknown_field,$ converted"},
			{`{"name":"a"}`, `additional_properties{` + member("name", `string_value:"a"`) + `}`, "name unknown_field,$ left_out"}, {`{}`, `additional_properties{}`, "$ left_out"}, {`{"items":[{}]}`, `items{} additional_properties{}`, "$ converted"},
			{`{"errors":["a",{"b":1}]}`, `errors: a,{"b":1}`, "errors unknown_field,$ left_out"}, {`{"errors":["a"],"items":null}`, `errors: a`, "errors unknown_field,$ left_out"},
			{`{"errors":"a"}`, `errors: a`, "errors unknown_field,$ left_out"}, {`{"errors":{"base":["a"]},"meta":1}`, `errors: {"base":["a"]}`, "errors unknown_field,meta unknown_field,$ left_out"},
			{`{"errors":""}`, `additional_properties{` + member("errors", `string_value:""`) + `}`, "errors unknown_field,$ left_out"}, {`{"errors":{}}`, `additional_properties{` + member("errors", `struct_value{}`) + `}`, "errors unknown_field,$ left_out"},
			{`{"errors":[]}`, `additional_properties{` + member("errors", "list_value{}") + `}`, "errors unknown_field,$ left_out"}, {`{"errors":["a"],"items":[{}]}`, `items{} additional_properties{` + member("errors", `list_value{values{string_value:"a"}}`) + `}`, "errors unknown_field,$ converted"}}},
		{line: "an object as document where a list is", id: "getShelf", docs: []outcomeDoc{
			{`{"errors":["a"]}`, "errors: a", "errors unknown_field"}, {`{"errors":["a"],"meta":{"total":0}}`, "errors: a", "errors unknown_field"},
			{`{"errors":["a"],"items":[{}]}`, `items{} additional_properties{` + member("errors", `list_value{values{string_value:"a"}}`) + `}`, "errors unknown_field"},
			{`{"errors":["a"],"items":[]}`, `additional_properties{` + member("errors", `list_value{values{string_value:"a"}}`) + `}`, "errors unknown_field"}, {`{"error":"a"}`, `additional_properties{` + member("error", `string_value:"a"`) + `}`, "error unknown_field"}}},
		{line: "a list as document where an object with items is", id: "getShelf", docs: []outcomeDoc{{`[{"name":"a"},{}]`, `items{name:"a"} items{} additional_properties{}`, "$ converted"}}},
		{line: "any other document of another kind", docs: []outcomeDoc{whole(`[1]`, `list_value{values{number_value:1}}`), whole(`"x"`, `string_value:"x"`), whole(`null`, `null_value:0`), whole(`false`, `bool_value:false`)}},
		{line: "any other document of another kind", id: "getTable", docs: []outcomeDoc{{`{"a":{"id":"b"},"c":1}`, `additional_properties{` + member("a", `struct_value{`+member("id", `string_value:"b"`)+`}`) + member("c", "number_value:1") + `}`, "entries.* left_out"}, {`[]`, `additional_properties{` + member("_json", "list_value{}") + `}`, "entries left_out"}}},
		{line: "any other document of another kind", id: "getThings", docs: []outcomeDoc{{`[{"name":"a"},1]`, `additional_properties{` + member("_json", `list_value{values{struct_value{`+member("name", `string_value:"a"`)+`}} values{number_value:1}}`) + `}`, "items[] left_out"}}},
		{line: "a document that one field had before it was described", id: "getDescribed", docs: []outcomeDoc{
			{`{"name":"a","count":"x","new":[1]}`, `value{` + member("name", `string_value:"a"`) + member("count", `string_value:"x"`) + member("new", `list_value{values{number_value:1}}`) + `} name:"a" additional_properties{` + member("count", `string_value:"x"`) + member("new", `list_value{values{number_value:1}}`) + `}`, "count left_out,new unknown_field"},
			{`{"count":9007199254740993}`, `value{` + member("count", `string_value:"9007199254740993"`) + `} values{key:"count" value:9007199254740993} count:9007199254740993`, ""}, {`{}`, `value{}`, ""}, {`null`, `additional_properties{` + member("_json", "null_value:0") + `}`, "$ left_out"},
			{`[1]`, `additional_properties{` + member("_json", `list_value{values{number_value:1}}`) + `}`, "$ left_out"},
			{`{"a":"7","b":8}`, `value{` + member("a", `string_value:"7"`) + member("b", "number_value:8") + `} values{key:"a" value:7} values{key:"b" value:8} additional_properties{` + member("a", `string_value:"7"`) + member("b", "number_value:8") + `}`, "a unknown_field,b unknown_field"}}},
		{line: "an object for a free field that has others beside it", id: "getFreeAgain", docs: []outcomeDoc{
			{`{"name":"a","count":"x","new":[1]}`, `value{` + member("name", `string_value:"a"`) + member("count", `string_value:"x"`) + member("new", `list_value{values{number_value:1}}`) + `} name:"a" additional_properties{` + member("count", `string_value:"x"`) + member("new", `list_value{values{number_value:1}}`) + `}`, "count left_out"},
			{`{}`, `value{}`, ""}, {`[1]`, `additional_properties{` + member("_json", `list_value{values{number_value:1}}`) + `}`, "$ left_out"}}},
		{line: "a document that one field had before it was described", id: "getListed", docs: []outcomeDoc{
			{`[{"id":"a"}]`, `value{list_value{values{struct_value{` + member("id", `string_value:"a"`) + `}}}} items{id:"a"}`, ""}, {`{"name":"n"}`, `value{struct_value{` + member("name", `string_value:"n"`) + `}} name:"n" additional_properties{}`, "$ left_out"},
			{`"text"`, `value{string_value:"text"} additional_properties{` + member("_json", `string_value:"text"`) + `}`, "items left_out"}}},
		{line: "a key that stands twice", docs: []outcomeDoc{
			{`{"name":"a","name":"b"}`, `name:"b"`, "name left_out"}, {`{"part":{"id":"a","port":1},"part":{"id":"b"}}`, `part{id:"b"}`, "part left_out"},
			{`{"tags":["a"],"tags":["b"]}`, `tags:"b"`, "tags left_out"}, {`{"name":"a","name":null}`, ``, "name left_out"},
			{`{"count":"x","name":[],"count":1}`, `count:1 additional_properties{` + member("name", "list_value{}") + `}`, "count left_out,name left_out,count left_out"}, {`{"count":1,"count":"x"}`, `additional_properties{` + member("count", `string_value:"x"`) + `}`, "count left_out,count left_out"}}},
		{line: "a key that stands twice in a map or a free value", docs: []outcomeDoc{
			{`{"labels":{"a":"b","a":"c"},"settings":{"a":1,"a":null}}`, `labels{key:"a" value:"c"} settings{fields{key:"a" value{null_value:NULL_VALUE}}}`, ""},
			{`{"a":1,"a":2}`, `additional_properties{` + member("a", "number_value:2") + `}`, "a unknown_field,a unknown_field"}}},
		{line: "a value for a retired field", docs: []outcomeDoc{
			{`{"size":["a"]}`, `size_v3:"a"`, ""}, {`{"size":"12"}`, `size:12 size_v2:"12"`, "size left_out"}, {`{"size":"12","size":["b"]}`, `size_v3:"b"`, "size left_out,size left_out"}, kept("size", `{}`, "struct_value{}"),
			{`{"part":{"weight":7}}`, `part{weight:7 weight_v2:7}`, ""}, {`{"part":{"weight":7.5}}`, `part{weight_v2:7.5}`, ""}, {`{"gone":"g"}`, `gone:"g"`, ""}}},
		{line: "a lone surrogate", docs: []outcomeDoc{{`{"name":"\ud800x","tags":["\udc00\ud83d\ude00"]}`, `name:"\ufffdx" tags:"\ufffd\U0001f600"`, "name converted,tags[] converted"}}},
		{line: "a byte that is not UTF-8", docs: []outcomeDoc{{"{\"name\":\"a\xff\xfeb\"}", `name:"a\ufffd\ufffdb"`, "name converted"}}},
		{line: "NUL", docs: []outcomeDoc{{`{"name":"a\u0000b"}`, `name:"a\000b"`, ""}, {"{\"name\":\"a\x00b\"}", "malformed", ""}}},
		{line: "deep nesting", docs: []outcomeDoc{kept("name", deep(47), nested(46, `string_value:"[]"`))}},
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
			if want, is := strings.CutPrefix(d.want, "errors: "); is {
				if f := fault.As(err); f == nil || f.Reason != "ANSWERED_WITH_ERRORS" || strings.Join(f.Messages, ",") != want {
					t.Errorf("%s: %.80q: %v", o.line, d.doc, err)
				}
				if all := strings.Join(drifts, ","); all != d.drift {
					t.Errorf("%s: %.80q drifts %q, want %q", o.line, d.doc, all, d.drift)
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
		if !slices.Contains(answers, o.line) {
			answers = append(answers, o.line)
		}
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
