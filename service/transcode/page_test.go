package transcode

import (
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
)

func TestPage(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		id, doc string
		page    *Page
		want    string
	}{
		{"getThings", `[{}]`, nil, `items{}`},
		{"getThings", `[{}]`, &Page{}, `items{} page_info{}`},
		{"getThings", ``, &Page{NextStartingAfter: "a", PreviousEndingBefore: "b", HasNext: true}, `page_info{next_starting_after:"a" previous_ending_before:"b" has_next:true}`},
		{"getShelf", `{"meta":{"total":1}}`, &Page{NextStartingAfter: "bad\xff"}, `meta{total:1} page_info{next_starting_after:"bad\ufffd"}`},
		{"getThing", `{"name":"a"}`, &Page{HasNext: true}, `name:"a"`},
	} {
		c := cornerOf(t, row.id)
		wire, err := c.plan.Response(nil, []byte(row.doc), row.page, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, want := dynamicpb.NewMessage(c.method.Output()), dynamicpb.NewMessage(c.method.Output())
		if err := proto.Unmarshal(wire, got); err != nil {
			t.Fatal(err)
		}
		if err := prototext.Unmarshal([]byte(row.want), want); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(got, want) {
			t.Errorf("%s %s: %v, want %v", row.id, row.doc, got, want)
		}
	}
}

// TestDocument: an answer comes back as it was, without its page.
func TestDocument(t *testing.T) {
	t.Parallel()
	for _, row := range [][3]string{
		{"getThings", `[{"name":"a","part":{"inner":{}},"lldp":[["a"],[]],"matrices":[[[1,2],[]],[]]}]`, ""},
		{"getThings", ``, `[]`},
		{"getShelf", `{"items":[{}],"meta":{"total":5}}`, ""},
		{"getTable", `{"a":{"id":"b"}}`, ""},
		{"getTable", `{}`, ""},
		{"getFree", `{"a":[1,1.5,"x",null,true,{}],"b":1e300}`, `{"a":[1,1.5,"x",null,true,{}],"b":1e+300}`},
		{"getAny", `[[],{"a":null}]`, ""},
		{"getAny", `null`, ""},
		{"getGrid", `[[1],[],[2,3]]`, ""},
		{"deleteThing", ``, `{}`},
	} {
		p := cornerOf(t, row[0]).plan
		wire, err := p.Response(nil, []byte(row[1]), &Page{HasNext: true}, func(path string, d Drift) { t.Errorf("%s: %s %v", row[1], path, d) })
		if err != nil {
			t.Fatal(err)
		}
		if row[2] == "" {
			row[2] = row[1]
		}
		if back, err := p.Document(wire); err != nil || string(back) != row[2] {
			t.Errorf("%s came back as %s, %v", row[1], back, err)
		}
	}
	if _, err := cornerOf(t, "getThing").plan.Document([]byte{0x0a, 9}); err == nil {
		t.Error("broken wire is a document")
	}
}
