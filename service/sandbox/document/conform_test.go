package document

import "testing"

// What is written is laid over what was there: objects into each other, lists
// and values replaced, null deletes.
func TestMerge(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ old, patch, want string }{
		{`{"a":1,"b":{"c":2,"d":3}}`, `{"b":{"c":4}}`, `{"a":1,"b":{"c":4,"d":3}}`},
		{`{"a":[1,2],"b":1}`, `{"a":[3],"b":null}`, `{"a":[3]}`},
		{`{"a":1}`, `{"a":{"b":2}}`, `{"a":{"b":2}}`},
		{`null`, `{"a":1,"b":null}`, `{"a":1}`},
		{`{"id":12345678901234567890}`, `{}`, `{"id":12345678901234567890}`},
	} {
		if got := string(Encode(Merge(DecodeObject([]byte(row.old)), DecodeObject([]byte(row.patch))))); got != row.want {
			t.Errorf("%s over %s: %s, want %s", row.patch, row.old, got, row.want)
		}
	}
}

// testShape has one field of each kind.
func testShape() *Shape {
	inner := &Shape{Fields: []Field{{Name: "n", Kind: KindInt}}, byName: map[string]int{"n": 0}}
	fields := []Field{
		{Name: "text", Kind: KindString}, {Name: "whole", Kind: KindInt}, {Name: "number", Kind: KindNumber}, {Name: "yes", Kind: KindBool}, {Name: "at", Kind: KindTime},
		{Name: "inner", Kind: KindObject, Sub: inner}, {Name: "list", Kind: KindObject, Sub: inner, Repeated: true}, {Name: "map", Kind: KindString, mapped: true},
		{Name: "free", Kind: KindStruct}, {Name: "any", Kind: KindAny}, {Name: "value", Kind: KindString},
	}
	s := &Shape{Fields: fields, byName: map[string]int{}}
	for i := range fields {
		s.byName[fields[i].Name] = i
	}
	return s
}

// What a shape cannot show is left out, and nothing else is.
func TestConform(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ in, want string }{
		{`{"text":"a","whole":1,"number":1.5,"yes":true,"at":"2026-07-01T00:00:00Z"}`, `{"at":"2026-07-01T00:00:00Z","number":1.5,"text":"a","whole":1,"yes":true}`},
		{`{"text":1,"whole":1.5,"number":"1","yes":"true","at":"yesterday"}`, `{}`},
		{`{"unknown":1,"text":null}`, `{"text":null}`},
		{`{"inner":{"n":1,"m":2},"list":[{"n":1},{"n":"x"},3]}`, `{"inner":{"n":1},"list":[{"n":1},{}]}`},
		{`{"map":{"a":"b","c":1},"free":{"x":[1]},"any":[null]}`, `{"any":[null],"free":{"x":[1]},"map":{"a":"b"}}`},
		{`{"inner":[],"list":{},"map":[],"free":3}`, `{}`},
		{`{"value":{"id":"x"}}`, `{"value":{"id":"x"}}`},
		{`{"whole":99999999999999999999}`, `{}`},
	} {
		v, _ := testShape().Conform(DecodeObject([]byte(row.in)))
		if got := string(Encode(v)); got != row.want {
			t.Errorf("%s: %s, want %s", row.in, got, row.want)
		}
	}
	if _, ok := testShape().Conform([]any{}); ok {
		t.Error("a list stands for an object")
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "{", "{} {}", "{}x", "\x00", `{"a":}`} {
		if v, err := Decode([]byte(bad)); err == nil {
			t.Errorf("%q is %v", bad, v)
		}
	}
	o := DecodeObject([]byte(`{"a":{"b":{"c":7}},"list":["x",1,"y"]}`))
	if TextAt(o, "a.b.c") != "7" || TextAt(o, "a.x.c") != "" || TextAt(o, "list") != "" || len(Texts(o["list"])) != 2 || Object(o["list"]) != nil {
		t.Errorf("%v", o)
	}
}

// Values are the same for the same seed, and others for another.
func TestValuesFollowTheSeed(t *testing.T) {
	t.Parallel()
	f := Field{Name: "serial", Kind: KindString, value: valueOf("serial")}
	var m Builder
	first, again, other := m.Single(nil, &f, 1, 0), m.Single(nil, &f, 1, 0), m.Single(nil, &f, 2, 0)
	if string(first) != string(again) || string(first) == string(other) {
		t.Errorf("%s %s %s", first, again, other)
	}
	for _, row := range []struct{ name, like string }{{"lanIp", "10."}, {"clientMac", "02:"}, {"wan1", "wan1 "}, {"paid", "paid "}, {"clientId", "6"}, {"productType", ""}} {
		if v := valueOf(row.name)(7); len(v) < len(row.like) || v[:len(row.like)] != row.like {
			t.Errorf("%s: %s", row.name, v)
		}
	}
}
