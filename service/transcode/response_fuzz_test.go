package transcode

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/merakibroker/merakibroker/service/fault"
)

// responseCorners are the operations whose responses differ in kind.
var responseCorners = []string{"getThings", "getThing", "getShelf", "getTable", "getFree", "getAny", "getDescribed", "getListed", "getGrid", "deleteThing"}

// compareResponse reads a document with both readers and wants the same from both.
func compareResponse(t *testing.T, c *corner, doc []byte) {
	t.Helper()
	var drifts []string
	wire, err := c.plan.Response([]byte("kept"), doc, nil, func(path string, d Drift) {
		drifts = append(drifts, path+" "+d.String())
	})
	r := new(reference)
	want, wantErr := r.response(c, doc)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%s %.300q: error %v, the reference has %v", c.op.GetId(), doc, err, wantErr)
	}
	if string(wire[:4]) != "kept" {
		t.Fatal("what dst held is gone")
	}
	if err != nil {
		f := fault.As(err)
		if f == nil || f.Kind != fault.Malformed || f.Operation != c.op.GetId() || len(wire) != 4 {
			t.Fatalf("%.300q: %#v with %d bytes", doc, err, len(wire))
		}
		return
	}
	got := dynamicpb.NewMessage(c.method.Output())
	if err := (proto.UnmarshalOptions{}).Unmarshal(wire[4:], got); err != nil {
		t.Fatalf("%s %.300q: the wire %x: %v", c.op.GetId(), doc, wire[4:], err)
	}
	if !proto.Equal(got, want) {
		t.Fatalf("%s %.300q:\n got %v\nwant %v", c.op.GetId(), doc, got, want)
	}
	// encoding/json does not tell where it has replaced what is not Unicode.
	if !utf8.Valid(doc) || strings.Contains(strings.ToLower(string(doc)), `\ud`) {
		return
	}
	// A path deeper than the contract ever is has its middle cut out.
	if slices.ContainsFunc(r.drifts, func(d string) bool { return strings.Count(d, ".") > 30 }) {
		return
	}
	slices.Sort(drifts)
	slices.Sort(r.drifts)
	if !slices.Equal(drifts, r.drifts) {
		t.Fatalf("%s %.300q:\ndrifts %q\nwant   %q", c.op.GetId(), doc, drifts, r.drifts)
	}
}

// responseSeeds exercise each kind of field with each kind of value.
func responseSeeds() []string {
	values := []string{
		`null`, `true`, `false`, `"true"`, `"x"`, `""`, `"12"`, `"007"`, `"-1.5e3"`, `"1e400"`, `0`, `-0`, `1`, `-1`, `1.0`, `1.5`, `1e3`, `1e400`, `1e-400`,
		`100e-2`, `0.10e1`, `9223372036854775807`, `9223372036854775808`, `-9223372036854775808`, `12345678901234567`, `9007199254740993`, `1152921504606846976`,
		`0.30000000000000004`, `123456789012345`, `1234567890123456`, `0.1234567890123456`, `1e21`, `{}`, `[]`, `[null]`, `[1,"2",null,true]`, `["a","b"]`, `[[]]`, `[["a"],[1],2,{}]`, `[{}]`,
		`{"id":"a"}`, `[{"id":"a"},{"port":"5"},1,null]`, `{"a":1,"b":null,"a":{}}`, `{"id":"a","id":2,"port":1,"port":null}`, `{"a":["x"],"b":"y","c":[]}`,
		`"2020-02-29T12:30:45.123456789Z"`, `"2020-02-29 12:30:45"`, `"2020-02-29T12:30:45.1234567891+0100"`, `"2021-02-29T00:00:00Z"`, `"2020-01-01 00:00:00 UTC"`, `"0001-01-01T00:00:00+00:01"`,
		`"\u0041\n\"\u00e9\ud83d\ude00\b\f\r\t\/\\"`, `"2020-13-01T00:00:00Z"`, `"2020-01-01T00:00:00.Z"`, `"2020-01-01T00:00:00+24:00"`, `"2020-01-01X00:00:00Z"`, `"aaaa-01-01T00:00:00Z"`, `"2020-01-01T00:00:00+0a00"`, `[{"a":[{"b":1}]}]`, `1e99999999999`, `1e-99999999999`, `"\ud800"`, `"\udc00\ud800x"`, `"é😀"`, "\"\xff\"", "\"a\xc3\"", `"\u0000"`, `[[1,2],[],[3]]`, `[[[1]],[[2],[]]]`,
	}
	names := []string{"name", "count", "ratio", "active", "lastSeen", "tags", "ports", "samples", "flags", "times", "part", "parts", "labels", "counts", "slots", "groups",
		"settings", "events", "anything", "values", "mixed", "lldp", "MV12/MV22/MV72", "0.5", "original_name", "details", "ratios", "switches", "seen", "matrices", "far", "stranger", "page_info", "renamed"}
	var seeds []string
	for _, v := range values {
		seeds = append(seeds, v, " "+v+"\n")
		for _, name := range names {
			seeds = append(seeds, `{"`+name+`":`+v+`}`)
		}
		seeds = append(seeds, `[{"count":1,"parts":[{"id":`+v+`}],"slots":{"5":{"port":`+v+`}}},`+v+`]`, `{"items":`+v+`,"meta":{"total":`+v+`}}`, `{"k":`+v+`}`)
	}
	return append(seeds, "", "  ", "{", `{"`, `{"name`, `{"name"`, `{"name":`, `{"name":"`, `{"name":"a`, `{"name":"a\`, `{"name":"a"`, `{"name":"a",`, `{"name":"a",}`, `[1,]`, `[`, `[1`, `[1 2]`,
		`{} {}`, `{}x`, `nul`, `nulL`, `tru`, `01`, `-`, `1.`, `.5`, `1e`, `1e+`, `+1`, `{1:2}`, `{"a" 1}`, "\"\x01\"", `"\x"`, `"\u12"`, `"\u12G4"`, `{'a':1}`, `[1}`, `{"a":1]`,
		` { "name" : "a" , "count" : 1 , "tags" : [ "x" , "y" ] , "ports" : [ 1 , 2 ] , "parts" : [ { } , { "id" : "b" } ] , "labels" : { "a" : "b" } } `,
		`{"n\u0061me":"escaped key","\ud800":1,"lanIp":"1","lanIp":"2","tags":["a"],"tags":["b"],"part":{"id":"1","port":1},"part":{"id":"2"},"labels":{"a":"1"},"labels":{"b":"2"}}`,
		strings.Repeat("[", maxDepth)+strings.Repeat("]", maxDepth), strings.Repeat("[", maxDepth+1)+strings.Repeat("]", maxDepth+1),
		strings.Repeat(`{"inner":`, maxDepth)+"{}"+strings.Repeat("}", maxDepth),
		`{"part":`+strings.Repeat(`{"inner":`, maxDepth-2)+`{"x":1}`+strings.Repeat("}", maxDepth-1),
		`{"x":`+strings.Repeat(`{"inner":`, maxDepth)+"{}"+strings.Repeat("}", maxDepth)+"}",
		`{"name":"`+strings.Repeat("long ", 5000)+`","part":{"id":"`+strings.Repeat("é\\n", 50)+`"},"parts":[{"id":"`+strings.Repeat("x", 200)+`"},{},{"id":"`+strings.Repeat("x", 20000)+`"}]}`,
	)
}

func TestResponseAgainstReference(t *testing.T) {
	t.Parallel()
	for _, id := range responseCorners {
		c := cornerOf(t, id)
		for _, seed := range responseSeeds() {
			compareResponse(t, c, []byte(seed))
			if id == "getThing" && len(seed) > 40 && len(seed) < 400 {
				for end := range seed { // broken off, or one byte wrong
					compareResponse(t, c, []byte(seed[:end]))
					compareResponse(t, c, []byte(seed[:end]+string((`}],"0` + "\x00")[end%6])+seed[end+1:]))
				}
			}
		}
	}
}

// FuzzResponse compares the reader with the reference. The first byte chooses
// the operation.
func FuzzResponse(f *testing.F) {
	for i, seed := range responseSeeds() {
		f.Add(append([]byte{byte(i)}, seed...))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) == 0 {
			return
		}
		c := cornerOf(t, responseCorners[int(input[0])%len(responseCorners)])
		compareResponse(t, c, input[1:])
	})
}
