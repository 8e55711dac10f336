package transcode

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/merakibroker/merakibroker/service/fault"
)

var requestCorners = []string{"updateThing", "getThings", "deleteThing", "replaceRules", "reboot", "getShelf", "getThing", "createThing", "updateRules", "updatePolicies", "replaceParts"}

// compareRequest reads a request with both writers and wants the same from both.
func compareRequest(t *testing.T, c *corner, wire []byte) {
	t.Helper()
	kept := bytes.Clone(wire)
	got, err := c.plan.Request(wire)
	if !bytes.Equal(wire, kept) {
		t.Fatal("the request's wire was changed")
	}
	want, wantErr := plainOf(c, wire)
	if err != nil && strings.Contains(err.Error(), "messages inside each other") {
		return // protobuf-go counts depth in another way
	}
	if err != nil && strings.Contains(err.Error(), "an entry of a map has") {
		return // protobuf-go drops what it does not know in an entry, and panics over a key of another type
	}
	if err == nil && wantErr != nil && replaces(c.method.Input(), wire) {
		return // what a later record replaces is not looked at, and protobuf-go does
	}
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%s %x: error %v, the reference has %v", c.op.GetId(), wire, err, wantErr)
	}
	if err != nil {
		f := fault.As(err)
		if f == nil || f.Kind != fault.BadRequest || f.Operation != c.op.GetId() || f.Detail == "" {
			t.Fatalf("%x: %#v", wire, err)
		}
		return
	}
	if got.Path != want.path || !slices.Equal(got.Params, want.params) {
		t.Fatalf("path %q with %q, want %q with %q", got.Path, got.Params, want.path, want.params)
	}
	if pairs := pairsOf(t, got.Query); !slices.EqualFunc(pairs, want.query, func(a, b [2]string) bool {
		return a[0] == b[0] && (sameJSON(a[1], b[1]) || sameJSON(json.Number(a[1]), json.Number(b[1])))
	}) {
		t.Fatalf("query %q, want %q", pairs, want.query)
	}
	if (got.Body == nil) != (want.body == nil) {
		t.Fatalf("%x: body %q, want %v", wire, got.Body, want.body)
	}
	if got.Body == nil {
		return
	}
	tree, err := parseTree(got.Body)
	if err != nil {
		t.Fatalf("body %q: %v", got.Body, err)
	}
	checkKeys(t, tree)
	d := json.NewDecoder(bytes.NewReader(got.Body))
	d.UseNumber()
	var body any
	if err := d.Decode(&body); err != nil {
		t.Fatal(err)
	}
	if want.body == nullBody {
		want.body = nil
	}
	if !sameJSON(body, want.body) {
		t.Fatalf("%x:\nbody %s\nwant %v", wire, got.Body, want.body)
	}
}

// replaces tells whether a record of a message takes the place of an earlier
// one: a singular field, or a key of a map, that stands twice.
func replaces(d protoreflect.MessageDescriptor, wire []byte) bool {
	seen := make(map[string]bool)
	for len(wire) > 0 {
		number, kind, n := protowire.ConsumeTag(wire)
		if n < 0 {
			return false
		}
		size := protowire.ConsumeFieldValue(number, kind, wire[n:])
		if size < 0 {
			return false
		}
		value := wire[n : n+size]
		wire = wire[n+size:]
		fd := d.Fields().ByNumber(number)
		if fd == nil || kind != protowire.BytesType && fd.IsMap() {
			continue
		}
		content, _ := protowire.ConsumeBytes(value)
		name := string(fd.Name())
		if one := fd.ContainingOneof(); one != nil && !one.IsSynthetic() {
			name = string(one.Name())
		}
		if fd.IsMap() {
			name += "\x00" + entryKeyOf(content)
		}
		if !fd.IsList() && seen[name] {
			return true
		}
		seen[name] = true
		if fd.Message() != nil && kind == protowire.BytesType && replaces(fd.Message(), content) {
			return true
		}
	}
	return false
}

// entryKeyOf gives the key of a map's entry.
func entryKeyOf(content []byte) (key string) {
	for len(content) > 0 {
		number, kind, n := protowire.ConsumeTag(content)
		if n < 0 {
			return key
		}
		size := protowire.ConsumeFieldValue(number, kind, content[n:])
		if size < 0 {
			return key
		}
		if number == 1 && kind == protowire.BytesType {
			b, _ := protowire.ConsumeBytes(content[n:])
			key = string(b)
		}
		content = content[n+size:]
	}
	return key
}

// checkKeys wants every key of an object once.
func checkKeys(t *testing.T, n *node) {
	t.Helper()
	seen := make(map[string]bool)
	for i, value := range n.values {
		if n.kind == '{' {
			if seen[n.keys[i]] {
				t.Fatalf("the key %q stands twice", n.keys[i])
			}
			seen[n.keys[i]] = true
		}
		checkKeys(t, value)
	}
}

func pairsOf(t *testing.T, query string) (pairs [][2]string) {
	t.Helper()
	if query == "" {
		return nil
	}
	for _, part := range strings.Split(query, "&") {
		key, value, _ := strings.Cut(part, "=")
		key, err1 := url.QueryUnescape(key)
		value, err2 := url.QueryUnescape(value)
		if err1 != nil || err2 != nil {
			t.Fatalf("query %q", query)
		}
		pairs = append(pairs, [2]string{key, value})
	}
	return pairs
}

func sameJSON(got, want any) bool {
	switch want := want.(type) {
	case extra:
		return sameJSON(got, want.value)
	case mark:
		if !want.empty {
			return got == nil
		}
		list, isList := got.([]any)
		object, isObject := got.(map[string]any)
		return isList && len(list) == 0 || isObject && len(object) == 0
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok || len(got) != len(want) {
			return false
		}
		for key, value := range want {
			if back, there := got[key]; !there || !sameJSON(back, value) {
				return false
			}
		}
		return true
	case []any:
		got, ok := got.([]any)
		return ok && slices.EqualFunc(got, want, sameJSON)
	case string:
		if got == want {
			return true
		}
		text, _ := got.(string)
		a, ok1 := refTime(text)
		b, ok2 := refTime(want)
		return ok1 && ok2 && a.Equal(b)
	case json.Number:
		got, ok := got.(json.Number)
		if !ok {
			return false
		}
		a, err1 := got.Float64()
		b, err2 := want.Float64()
		return err1 == nil && err2 == nil && a == b && (strings.ContainsAny(string(want), ".e") || a > 1<<53 || a < -1<<53 || got == want)
	}
	return got == want
}

// requestSeed writes a request from protobuf's own JSON; nullFields and
// emptyFields are paths with commas between them.
func requestSeed(t testing.TB, id, text string) []byte {
	t.Helper()
	m := dynamicpb.NewMessage(cornerOf(t, id).method.Input())
	members := make(map[string]json.RawMessage)
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		t.Fatalf("%s %s: %v", id, text, err)
	}
	for _, name := range []string{"nullFields", "emptyFields"} {
		// protojson takes neither an index nor * in a mask.
		var paths string
		if len(members[name]) == 0 {
			continue
		}
		if err := json.Unmarshal(members[name], &paths); err != nil {
			t.Fatal(err)
		}
		delete(members, name)
		list := m.Mutable(m.Descriptor().Fields().ByJSONName(name)).List()
		for _, path := range strings.Split(paths, ",") {
			list.Append(protoreflect.ValueOfString(path))
		}
	}
	rest, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	message := dynamicpb.NewMessage(m.Descriptor())
	if err := (protojson.UnmarshalOptions{}).Unmarshal(rest, message); err != nil {
		t.Fatalf("%s %s: %v", id, text, err)
	}
	proto.Merge(m, message)
	wire, err := (proto.MarshalOptions{Deterministic: true}).Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

// requestSeeds: the operation's id in front of the wire.
func requestSeeds(t testing.TB) (ids []string, wires [][]byte) {
	add := func(id string, texts ...string) {
		for _, text := range texts {
			ids, wires = append(ids, id), append(wires, requestSeed(t, id, text))
		}
	}
	const path = `"networkId":"N_1","number":5`
	body := `"name":"a\"b\\c\n\u0001é😀","count":"-5","ratio":1.5,"active":false,"lastSeen":"2020-01-02T03:04:05.6Z","tags":["x",""],"ports":["1","-2"],` +
		`"part":{"id":"p","inner":{"port":"7"},"inners":[{},{"id":"q"}]},"parts":[{"id":"1"},{"port":"2"}],"counts":{"a":"1","b":"2"},"slots":{"5":{"id":"s"}},` +
		`"settings":{"a":[1,{"b":null}],"c":"d","e":true,"f":1e300,"g":{}},"anything":[1,"x"],"mixed":[1,[2]],"groups":[{"values":[{"id":"g"}]},{}],"bodyNumber":"7",` +
		`"lists":{"k":{"values":["v"]}},"samples":[0.1,-0.0,1e21,123456789012],"flags":[true,false],"switches":{"s":true},"details":{"d":null}`
	add("updateThing", `{}`, `{`+path+`}`, `{`+path+`,`+body+`}`, `{`+path+`,"validate":true}`,
		`{`+path+`,"nullFields":"name,part.id,slots.x,counts"}`, `{`+path+`,`+body+`,"nullFields":"parts.*.inner,part.port,parts.0.port"}`,
		`{`+path+`,"emptyFields":"tags,parts,counts,slots,settings,mixed,groups,lists.z,part.inners,slots.a.inners"}`,
		`{`+path+`,`+body+`,"nullFields":"name"}`, `{`+path+`,"nullFields":"stranger"}`, `{`+path+`,"nullFields":"network_id"}`, `{`+path+`,"emptyFields":"name"}`,
		`{`+path+`,"nullFields":"tags","emptyFields":"tags"}`, `{`+path+`,"nullFields":"part,part.id"}`, `{`+path+`,`+body+`,"nullFields":"parts.9.id"}`,
		`{`+path+`,`+body+`,"nullFields":"groups.0.values.0.port","emptyFields":"groups.1.values"}`, `{`+path+`,"nullFields":"details.q"}`, `{`+path+`,"nullFields":"settings.a"}`,
		`{`+path+`,"nullFields":"parts.*.id"}`, `{`+path+`,"nullFields":"tags.0"}`, `{`+path+`,`+body+`,"nullFields":"tags.x"}`, `{`+path+`,`+body+`,"nullFields":"slots.*.port,slots.n.port"}`)
	add("updateThing", `{`+path+`,"additionalProperties":{"a":[1,{"b":null}],"tags":[]}}`, `{`+path+`,`+body+`,"additionalProperties":{"x":1}}`, `{`+path+`,"additionalProperties":{"_json":[1]}}`,
		`{`+path+`,"additionalProperties":{"_json":{}}}`, `{`+path+`,"name":"n","additionalProperties":{"_json":[1]}}`, `{`+path+`,"additionalProperties":{"networkId":"a"}}`, `{`+path+`,"additionalProperties":{"number":1}}`,
		`{`+path+`,"name":"n","additionalProperties":{"name":"m"}}`, `{`+path+`,"part":{"id":"a","additionalProperties":{"port":"x","new":{}}},"nullFields":"part.inner"}`,
		`{`+path+`,"part":{"additionalProperties":{"port":"x"}},"nullFields":"part.port"}`, `{`+path+`,"nullFields":"part.id","additionalProperties":{"part":{}}}`, `{`+path+`,"additionalProperties":{}}`)
	add("updateThing", `{`+path+`,"size":"5","since":"6","gone":"g"}`, `{`+path+`,"size":"5","sizeV2":"6","since":"7","sinceV2":["8","9"]}`, `{`+path+`,"size":"5","additionalProperties":{"size":[]}}`,
		`{`+path+`,"size":"5","nullFields":"size_v2"}`, `{`+path+`,"part":{"weight":"5"},"nullFields":"part.id"}`, `{`+path+`,"part":{"weight":"5","weightV2":1.5},"parts":[{"weight":"7"}]}`, `{`+path+`,"part":{"weight":"5"},"nullFields":"part.weight_v2"}`)
	add("replaceRules", `{"additionalProperties":{"_json":[]}}`, `{"additionalProperties":{"a":1}}`, `{"rules":[{}],"additionalProperties":{"a":1}}`, `{"additionalProperties":{}}`, `{"rules":[{"additionalProperties":{"id":[]}}]}`)
	add("getThing", `{"thingId":"t","additionalProperties":{}}`)
	add("getThings", `{}`, `{"organizationId":"1"}`, `{"organizationId":"a:b=c@d.1","perPage":"5","serials":["a b","c&d=e",""],"active":true,"t0":"2020-01-01T00:00:00Z","ratio":1e-7,
		"startDate":{"lt":"2020-01-01T00:00:00Z","gt":"2019-01-01T00:00:00.5Z"},"interfaces":[{"name":"n","slot":"1","tags":["t","u"]},{"slot":"2"},{}],"ports":["1","2"]}`,
		`{"organizationId":"."}`, `{"organizationId":".."}`, `{"organizationId":"..."}`, `{"organizationId":""}`)
	add("deleteThing", `{"thingId":"t"}`, `{"thingId":"t","bodyThingId":"u","force":true}`, `{"thingId":"t","nullFields":"bodyThingId"}`)
	add("replaceRules", `{}`, `{"rules":[{"id":"a"},{}]}`, `{"emptyFields":"rules"}`, `{"nullFields":"rules"}`, `{"rules":[{"id":"a"}],"nullFields":"rules.0.port"}`)
	add("createThing", `{"networkId":"N_1"}`, `{"networkId":"N_1","tags":["a"],"additionalProperties":{"b":1}}`)
	add("updateRules", `{"networkId":"N_1"}`, `{"networkId":"N_1","log":true}`, `{"networkId":"N_1","emptyFields":"rules"}`, `{"networkId":"N_1","additionalProperties":{"rules":[]}}`)
	add("updatePolicies", `{}`, `{"mixed":[],"emptyFields":"rules"}`, `{"mixed":[1],"rules":[{"inners":[{"named":{"a":{}}}]},{"additionalProperties":{"inners":[{}]}}]}`, `{"mixed":[],"rules":[{}],"emptyFields":"rules.0.inners"}`,
		`{"mixed":[],"slots":{"a":{"inners":[{}]},"inners":{}},"part":{"inners":[]},"nullFields":"rules"}`, `{"mixed":[],"additionalProperties":{"rules":[{"a":1},[]]}}`, `{"additionalProperties":{"_json":[{}]}}`)
	add("replaceParts", `{}`, `{"rules":[{"inners":[{}]}]}`, `{"rules":[{"inners":[{}]},{}]}`, `{"emptyFields":"rules"}`, `{"additionalProperties":{"_json":[{"inners":[]},{}]}}`)
	add("reboot", `{"serial":"Q2XX"}`)
	add("getShelf", `{}`)
	add("getThing", `{"thingId":"~x-_."}`)
	raw := func(id string, wire ...byte) { ids, wires = append(ids, id), append(wires, wire) }
	base := requestSeed(t, "updateThing", `{`+path+`}`)
	with := func(parts ...[]byte) { raw("updateThing", append(bytes.Clone(base), bytes.Join(parts, nil)...)...) }
	bytesField := func(number protowire.Number, b []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), b)
	}
	varint := func(number protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), v)
	}
	fixed := func(number protowire.Number, v uint64) []byte {
		return protowire.AppendFixed64(protowire.AppendTag(nil, number, protowire.Fixed64Type), v)
	}
	text := []byte("t")
	with(bytesField(4, text), bytesField(4, []byte("last")))                // a scalar twice
	with(bytesField(11, bytesField(1, text)), bytesField(11, varint(2, 5))) // a message in two parts
	with(bytesField(11, bytesField(3, varint(2, 1))), bytesField(4, text), bytesField(11, bytesField(3, bytesField(1, text))))
	with(bytesField(9, text), varint(5, 1), bytesField(9, text))                                                                                          // a list in two parts
	with(varint(10, 1), bytesField(10, []byte{2, 3}), varint(10, 4), bytesField(10, nil))                                                                 // packed and not
	with(bytesField(10, nil))                                                                                                                             // an empty packed list
	with(bytesField(13, append(bytesField(1, text), varint(2, 1)...)), bytesField(13, append(bytesField(1, text), varint(2, 2)...)), bytesField(13, nil)) // a key twice
	with(bytesField(14, append(bytesField(2, bytesField(1, text)), bytesField(2, varint(2, 9))...)))                                                      // a value in two parts
	with(bytesField(18, append(bytesField(3, text), varint(4, 1)...)))                                                                                    // two kinds in one value
	with(bytesField(18, append(bytesField(6, bytesField(1, varint(1, 0))), bytesField(6, bytesField(1, varint(4, 1)))...)))
	with(bytesField(18, nil)) // no kind in a value
	with(bytesField(8, varint(1, 1<<62)), fixed(6, 0x7ff8000000000001))
	with(fixed(6, 0x7ff0000000000000))
	with(bytesField(8, varint(2, 1_000_000_000)))
	with(bytesField(4, []byte{0xff}), varint(7, 2))
	with(bytesField(11, bytesField(1, []byte{0xc3})))
	with(varint(4000, 1)) // unknown
	with(bytesField(11, varint(77, 1)))
	with(varint(4, 1)) // another wire type
	with(bytesField(5, text), varint(3, 7))
	with(bytesField(17, bytesField(1, append(bytesField(1, text), bytesField(2, fixed(2, 0x7ff0000000000000))...))))
	with(varint(3, 1), varint(3, 0))
	entry := func(key string, value ...byte) []byte { return append(bytesField(1, []byte(key)), value...) }
	with(bytesField(13, entry("a")), bytesField(14, entry("a")), bytesField(22, entry("a")), bytesField(25, entry("a")), bytesField(26, entry("n", varint(1, 0)...))) // the value's record is missing: its zero
	with(bytesField(26, entry("a")))                                                                                                                                  // a zero Value is none
	with(bytesField(25, entry("a", 0x12, 0)), bytesField(13, []byte{0x08, 1}))
	var many, free []byte
	for i := range 3 * keepsOnStack {
		key := string(rune('a' + i%(2*keepsOnStack)))
		many = append(many, bytesField(13, entry(key, varint(2, uint64(i))...))...)
		free = append(free, bytesField(1, entry(key, bytesField(2, varint(4, uint64(i%2)))...))...)
	}
	with(many)
	with(bytesField(17, free))
	with(bytesField(17, []byte{0x12, 0}))
	with(bytesField(19, []byte{0x12, 0}))
	with(bytesField(20, []byte{0x12, 0}), bytesField(20, []byte{0x80}))
	with(bytesField(22, entry("k", bytesField(2, []byte{0x08, 0})...)))
	raw("updateThing", 0x0a)
	raw("updateThing", 0x0a, 5, 'a')
	raw("updateThing", 0x80)
	raw("updateThing", 0x0b, 0x0c)
	raw("updateThing", 0x00, 0x00)
	raw("updateThing", bytes.Repeat([]byte{0xff}, 11)...)
	raw("getThings", append(requestSeed(t, "getThings", `{"organizationId":"1"}`), 0x4a, 2, 1, 0x80)...)
	raw("getThings", append(requestSeed(t, "getThings", `{"organizationId":"1"}`), append(bytesField(7, bytesField(1, varint(1, 5))), bytesField(7, bytesField(1, varint(2, 5)))...)...)...)
	return ids, wires
}

func TestRequestAgainstReference(t *testing.T) {
	t.Parallel()
	ids, wires := requestSeeds(t)
	for i, id := range ids {
		c := cornerOf(t, id)
		compareRequest(t, c, wires[i])
		for end := range wires[i] { // broken off, or one bit wrong
			compareRequest(t, c, wires[i][:end])
			flipped := bytes.Clone(wires[i])
			flipped[end] ^= 1 << (end % 8)
			compareRequest(t, c, flipped)
		}
	}
}

// FuzzRequest compares the writer with the reference. The first byte chooses
// the operation.
func FuzzRequest(f *testing.F) {
	ids, wires := requestSeeds(f)
	for i, id := range ids {
		f.Add(append([]byte{byte(slices.Index(requestCorners, id))}, wires[i]...))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) == 0 {
			return
		}
		compareRequest(t, cornerOf(t, requestCorners[int(input[0])%len(requestCorners)]), input[1:])
	})
}

// FuzzURL puts any text into a path and a query: it has to come back as it was,
// and to stay in its place.
func FuzzURL(f *testing.F) {
	for _, text := range []string{"a", "", ".", "..", "...", "a/b", "a?b#c", "%2e%2E", "é😀", "\x00", "\xff", "a&b=c", " +", "..\\", "~-_.", "1.json", "a:b=@1", "1.5", strings.Repeat("x/", 400)} {
		f.Add(text, text)
	}
	f.Fuzz(func(t *testing.T, id, serial string) {
		m := dynamicpb.NewMessage(cornerOf(t, "getThings").method.Input())
		wire := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), id)
		wire = protowire.AppendString(protowire.AppendTag(wire, 3, protowire.BytesType), serial)
		r, err := cornerOf(t, "getThings").plan.Request(wire)
		valid := proto.Unmarshal(wire, m) == nil && refSegment.MatchString(id) && !refFile.MatchString(id)
		if (err == nil) != valid {
			t.Fatalf("%q %q: %v", id, serial, err)
		}
		if err != nil {
			return
		}
		u, err := url.Parse("https://host/api/v1" + r.Path + "?" + r.Query)
		if err != nil {
			t.Fatal(err)
		}
		segments := strings.Split(u.EscapedPath(), "/")
		if len(segments) != 6 || segments[3] != "organizations" || segments[5] != "things" || u.Fragment != "" || u.Host != "host" {
			t.Fatalf("%q escapes its place: %q", id, u.EscapedPath())
		}
		if back, err := url.PathUnescape(segments[4]); err != nil || back != id || r.Params[0] != id {
			t.Fatalf("%q came back as %q, %q", id, back, r.Params)
		}
		if values, err := url.ParseQuery(u.RawQuery); err != nil || len(values) != 1 || !slices.Equal(values["serials[]"], []string{serial}) {
			t.Fatalf("%q came back as %q", serial, values)
		}
	})
}
