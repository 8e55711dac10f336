package transcode

import (
	"bytes"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/merakibroker/merakibroker/service/fault"
)

// A requestRow is one request and what is sent, or the field that is refused.
type requestRow struct {
	id, text    string // as for requestSeed
	extra       []byte // wire behind it
	path, query string
	body        string
	refused     string // the fault's field; "-" when it has none
	says        string // a part of the fault's text
	line        string // the line of the package comment's table that it shows
}

// shows marks the row that shows a line of the table.
func (r requestRow) shows(line string) requestRow {
	r.line = line
	return r
}

func requestRows() []requestRow {
	const path = `"networkId":"N_1","number":5`
	bytesField := func(number protowire.Number, b string) []byte {
		return protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), b)
	}
	varint := func(number protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), v)
	}
	fixed := func(number protowire.Number, v uint64) []byte {
		return protowire.AppendFixed64(protowire.AppendTag(nil, number, protowire.Fixed64Type), v)
	}
	deep := func(n int) string {
		inner := ""
		for range n {
			inner = string(bytesField(3, inner))
		}
		return string(bytesField(11, inner))
	}
	// nested is a Part with a list of one in it, and so on.
	nested := func(n int) (part string) {
		for range n {
			part = string(bytesField(4, part))
		}
		return part
	}
	update := func(extra []byte, body string) requestRow {
		return requestRow{id: "updateThing", text: `{` + path + `}`, extra: extra, path: "/networks/N_1/things/5", body: body}
	}
	refused := func(text string, extra []byte, field, says string) requestRow {
		return requestRow{id: "updateThing", text: `{` + path + text + `}`, extra: extra, refused: field, says: says}
	}
	// freeDeep is a free value in n lists, with its length in front.
	freeDeep := func(n int) []byte {
		value := varint(1, 0)
		for range n {
			value = bytesField(6, string(bytesField(1, string(value))))
		}
		return protowire.AppendBytes(nil, value)
	}
	return []requestRow{
		// Path.
		requestRow{id: "getThing", text: `{}`, refused: "thing_id", says: "missing"}.shows("a parameter of the path missing, empty, \".\" \"..\""),
		{id: "getThing", text: `{"thingId":""}`, refused: "thing_id", says: "empty"},
		{id: "getThing", text: `{"thingId":".."}`, refused: "thing_id", says: `".."`},
		{id: "getThing", text: `{"thingId":"."}`, refused: "thing_id"},
		requestRow{id: "getThing", text: `{"thingId":"a:b=c@d,e+f.1"}`, path: "/things/a%3Ab%3Dc%40d%2Ce%2Bf.1"}.shows("any other text in the path or query"),
		{id: "getThing", text: `{"thingId":"../a"}`, refused: "thing_id", says: "another path"},
		{id: "getThing", text: `{"thingId":"..%2Fa"}`, refused: "thing_id", says: "another path"},
		{id: "getThing", text: `{"thingId":"1?a=b"}`, refused: "thing_id", says: "another path"},
		{id: "getThing", text: `{"thingId":"..;"}`, refused: "thing_id", says: "another path"},
		{id: "getThing", text: `{"thingId":"é"}`, refused: "thing_id", says: "another path"},
		{id: "getThing", text: `{"thingId":"1.json"}`, refused: "thing_id", says: "name of a file"},
		{id: "getThing", text: `{"thingId":"1."}`, refused: "thing_id", says: "ends with a dot"},
		{id: "reboot", text: `{"serial":"Q2XX-1"}`, path: "/devices/Q2XX-1/reboot"},
		// Query.
		{id: "getThings", text: `{"organizationId":"1","perPage":"-5","serials":["a b",""],"active":false,"t0":"2020-01-01T00:00:00.120Z","ratio":0.5,"ports":["1","2"]}`, path: "/organizations/1/things",
			query: "perPage=-5&serials%5B%5D=a%20b&serials%5B%5D=&active=false&t0=2020-01-01T00%3A00%3A00.120Z&ratio=0.5&ports%5B%5D=1&ports%5B%5D=2"},
		{id: "getThings", text: `{"organizationId":"1","startDate":{"lt":"2020-01-01T00:00:00Z"},"interfaces":[{"name":"n","slot":"1"},{"slot":"2","tags":["t"]}]}`, path: "/organizations/1/things",
			query: "startDate%5Blt%5D=2020-01-01T00%3A00%3A00Z&interfaces%5B%5Dname=n&interfaces%5B%5Dslot=1&interfaces%5B%5Dslot=2&interfaces%5B%5Dtags%5B%5D=t"},
		{id: "getThings", text: `{"organizationId":"1"}`, extra: fixed(6, 0x7ff8000000000001), refused: "ratio", says: "NaN"},
		{id: "getThings", text: `{"organizationId":"1"}`, extra: bytesField(8, string(bytesField(1, "\xff"))), refused: "interfaces[0].name", says: "UTF-8"},
		{id: "getThings", text: `{"organizationId":"1"}`, extra: bytesField(7, string(varint(9, 1))), refused: "start_date.9", says: "9"},
		// Body.
		requestRow{id: "createThing", text: `{"networkId":"N_1"}`, path: "/networks/N_1/things", body: `{}`}.shows("an empty body"),
		update(nil, `{}`),
		{id: "updateRules", text: `{"networkId":"N_1","rules":[]}`, refused: "rules", says: "empty_fields"},
		{id: "updateRules", text: `{"networkId":"N_1","emptyFields":"rules"}`, path: "/networks/N_1/thingRules", body: `{"rules":[]}`},
		{id: "updateRules", text: `{"networkId":"N_1","additionalProperties":{"rules":[]}}`, path: "/networks/N_1/thingRules", body: `{"rules":[]}`},
		{id: "updateRules", text: `{"networkId":"N_1","log":true}`, path: "/networks/N_1/thingRules", body: `{"log":true}`},
		{id: "updateThing", text: `{` + path + `,"validate":true,"name":"","bodyNumber":"7"}`, path: "/networks/N_1/things/5", query: "validate=true", body: `{"name":"","number":"7"}`},
		{id: "deleteThing", text: `{"thingId":"t","bodyThingId":"u","force":true}`, path: "/things/t", query: "force=true", body: `{"thingId":"u"}`},
		update(append(bytesField(4, "first"), bytesField(4, "last")...), `{"name":"last"}`),
		update(append(bytesField(11, string(bytesField(1, "a"))), bytesField(11, string(varint(2, 5)))...), `{"part":{"id":"a","port":5}}`).shows("a singular field that stands twice"),
		update(append(append(varint(10, 1), bytesField(10, "\x02\x03")...), varint(10, 4)...), `{"ports":[1,2,3,4]}`).shows("a list packed, not packed, or both"),
		update(append(bytesField(4, "n"), bytesField(10, "")...), `{"name":"n"}`),
		update(append(varint(7, 1), bytesField(4, "n")...), `{"name":"n","active":true}`),
		update(append(bytesField(13, "\x0a\x01k\x10\x01"), bytesField(13, "\x0a\x01k\x10\x02")...), `{"counts":{"k":2}}`).shows("a key of a map that stands twice"),
		update(bytesField(13, "\x0a\x01k"), `{"counts":{"k":0}}`),
		update(fixed(6, 0x4341c37937e08000), `{"ratio":10000000000000000}`),
		update(fixed(6, 0x8000000000000000), `{"ratio":-0}`),
		refused("", varint(4000, 1), "4000", "4000").shows("a field that this contract does not have"),
		refused("", bytesField(12, string(varint(77, 1))), "parts[0].77", "77"),
		refused("", varint(4, 1), "name", "wire type"),
		refused("", fixed(6, 0x7ff0000000000000), "ratio", "+Inf").shows("NaN or an infinity"),
		refused("", bytesField(4, "\xff"), "name", "UTF-8").shows("text that is not UTF-8"),
		refused("", bytesField(8, string(varint(1, 1<<62))), "last_seen", "9999").shows("a timestamp out of the years 1 to 9999"),
		refused("", bytesField(8, string(varint(2, 1e9))), "last_seen", "nanos"),
		refused("", bytesField(18, ""), "anything", "kind").shows("a free value without a kind"),
		refused("", bytesField(17, "\x0a\x05\x0a\x01k\x12\x00"), "settings[k]", "kind"),
		refused("", []byte{0x22, 5, 'a'}, "name", "not protobuf").shows("wire that breaks off, or another wire type"),
		refused("", []byte{0x80}, "-", "not protobuf"),
		update([]byte(deep(98)), `{"part":`+strings.Repeat(`{"inner":`, 98)+`{}`+strings.Repeat("}", 99)),
		requestRow{id: "updateThing", text: `{` + path + `}`, extra: []byte(deep(100)), refused: strings.TrimSuffix("part."+strings.Repeat("inner.", 100), "."), says: "100"}.shows("more than 100 messages inside each other"),
		// Required lists.
		requestRow{id: "updatePolicies", text: `{"log":true}`, refused: "rules", says: `name "rules" in empty_fields`}.shows("a list that the document requires is empty"),
		{id: "updatePolicies", text: `{}`, refused: "rules", says: `name "rules" in empty_fields`},
		{id: "updatePolicies", text: `{"rules":[],"mixed":[]}`, refused: "rules", says: "empty_fields"},
		{id: "updatePolicies", text: `{"emptyFields":"rules"}`, refused: "mixed", says: `name "mixed"`},
		{id: "updatePolicies", text: `{"mixed":[],"emptyFields":"rules"}`, path: "/policies", body: `{"rules":[],"mixed":[]}`},
		{id: "updatePolicies", text: `{"mixed":[],"nullFields":"rules"}`, path: "/policies", body: `{"rules":null,"mixed":[]}`},
		{id: "updatePolicies", text: `{"mixed":[],"additionalProperties":{"rules":[]}}`, path: "/policies", body: `{"mixed":[],"rules":[]}`},
		{id: "updatePolicies", text: `{"mixed":[],"additionalProperties":{"rules":"all"}}`, path: "/policies", body: `{"mixed":[],"rules":"all"}`},
		{id: "updatePolicies", text: `{"additionalProperties":{"_json":[]}}`, path: "/policies", body: `[]`},
		{id: "updatePolicies", text: `{"additionalProperties":{"_json":[{"rules":1},[]]}}`, path: "/policies", body: `[{"rules":1},[]]`},
		{id: "replaceParts", text: `{"additionalProperties":{"rules":[{}]}}`, path: "/parts", body: `{"rules":[{}]}`},
		{id: "updatePolicies", text: `{"mixed":[],"rules":[{"inners":[{}],"additionalProperties":{"inners":1}}]}`, refused: "rules[0].additional_properties[inners]"},
		{id: "updatePolicies", text: `{"mixed":[],"rules":[{"additionalProperties":{"inners":[]}},{}]}`, refused: "rules[1].inners", says: `name "rules.1.inners" in empty_fields`},
		{id: "updatePolicies", text: `{"mixed":[],"additionalProperties":{"rules":{"items":[]},"part":[{}],"slots":[{"k":{}}]}}`, path: "/policies", body: `{"mixed":[],"part":[{}],"rules":{"items":[]},"slots":[{"k":{}}]}`},
		{id: "updatePolicies", text: `{"mixed":[],"additionalProperties":{"rules":[[{}],1]}}`, path: "/policies", body: `{"mixed":[],"rules":[[{}],1]}`},
		{id: "updatePolicies", text: `{"mixed":[],"rules":[{"additionalProperties":{"inners":{"0":{}}}}]}`, path: "/policies", body: `{"rules":[{"inners":{"0":{}}}],"mixed":[]}`},
		{id: "updatePolicies", text: `{"mixed":[],"rules":[{},{}],"emptyFields":"rules.*.inners"}`, path: "/policies", body: `{"rules":[{"inners":[]},{"inners":[]}],"mixed":[]}`},
		{id: "updatePolicies", text: `{"mixed":[],"rules":[{"inners":[{"id":"]}\"","named":{"a":{}}},{}]}]}`, refused: "rules[0].inners[1].named", says: `"rules.0.inners.1.named"`},
		{id: "updatePolicies", text: `{"mixed":[[{}]],"slots":{"a\"b":{}},"emptyFields":"rules"}`, refused: `slots[a"b].inners`, says: "empty_fields"},
		{id: "updatePolicies", text: `{"mixed":[],"slots":{"inners":{"id":"x","inners":[{}]}},"part":{},"emptyFields":"rules"}`, refused: "part.inners", says: `"part.inners"`},
		{id: "updatePolicies", text: `{"mixed":[],"emptyFields":"rules,part.inners,slots.k.inners"}`, path: "/policies", body: `{"rules":[],"slots":{"k":{"inners":[]}},"part":{"inners":[]},"mixed":[]}`},
		{id: "replaceParts", text: `{"rules":[{"inners":[{}]},{}]}`, refused: "rules[1].inners", says: `"rules.1.inners"`},
		{id: "replaceParts", text: `{"rules":[{"inners":[{}]}]}`, path: "/parts", body: `[{"inners":[{}]}]`},
		{id: "updatePolicies", text: `{"mixed":[],"emptyFields":"rules"}`, extra: bytesField(2, "\x0a\x01k\x12"+string(protowire.AppendString(nil, nested(98)))), path: "/policies",
			body: `{"rules":[],"slots":{"k":` + strings.Repeat(`{"inners":[`, 98) + "{}" + strings.Repeat("]}", 98) + `},"mixed":[]}`},
		{id: "replaceParts", text: `{"emptyFields":"rules"}`, path: "/parts", body: `[]`},
		// Masks.
		requestRow{id: "updateThing", text: `{` + path + `,"name":"n","nullFields":"active,part.id,slots.x,body_number","emptyFields":"tags,counts,slots.y,settings,mixed,part.inners,lists.z"}`, path: "/networks/N_1/things/5",
			body: `{"name":"n","active":null,"tags":[],"part":{"id":null,"inners":[]},"counts":{},"slots":{"x":null,"y":{}},"settings":{},"mixed":[],"number":null,"lists":{"z":[]}}`}.shows("a mask that names a place inside what is absent"),
		{id: "updateThing", text: `{` + path + `,"parts":[{"id":"1"},{}],"nullFields":"parts.*.inner,parts.1.id"}`, path: "/networks/N_1/things/5", body: `{"parts":[{"id":"1","inner":null},{"id":null,"inner":null}]}`},
		{id: "updateThing", text: `{` + path + `,"groups":[{"values":[{"id":"1"}]},{}],"nullFields":"groups.0.values.0.port"}`, path: "/networks/N_1/things/5", body: `{"groups":[[{"id":"1","port":null}],[]]}`},
		{id: "updateThing", text: `{` + path + `,"slots":{"a":{"id":"1"}},"nullFields":"slots.*.port"}`, path: "/networks/N_1/things/5", body: `{"slots":{"a":{"id":"1","port":null}}}`},
		refused(`,"name":"n","nullFields":"name"`, nil, "null_fields", "has a value").shows("a mask that names nothing, or what has a value"),
		refused(`,"nullFields":"stranger"`, nil, "null_fields", "does not exist"),
		refused(`,"nullFields":""`, nil, "null_fields", "does not exist"),
		refused(`,"nullFields":"null_fields"`, nil, "null_fields", "does not exist"),
		refused(`,"nullFields":"network_id"`, nil, "null_fields", "not part of the body"),
		refused(`,"nullFields":"name.x"`, nil, "null_fields", "no fields"),
		refused(`,"nullFields":"settings.x"`, nil, "null_fields", "no fields"),
		refused(`,"nullFields":"parts.one.id"`, nil, "null_fields", "index"),
		refused(`,"nullFields":"parts.0.id"`, nil, "null_fields", "does not have"),
		refused(`,"nullFields":"parts.*.id"`, nil, "null_fields", "does not have"),
		refused(`,"nullFields":"slots.*.id"`, nil, "null_fields", "has none"),
		refused(`,"parts":[{}],"nullFields":"parts.0"`, nil, "null_fields", "always has a value"),
		refused(`,"slots":{"a":{}},"nullFields":"slots.a"`, nil, "null_fields", "has a value"),
		refused(`,"emptyFields":"name"`, nil, "empty_fields", "scalar"),
		refused(`,"tags":["a"],"emptyFields":"tags"`, nil, "empty_fields", "has a value"),
		refused(`,"nullFields":"tags","emptyFields":"tags"`, nil, "null_fields", "more than one"),
		refused(`,"nullFields":"part,part.id"`, nil, "null_fields", "more than one"),
		refused("", bytesField(13, "\x0a\x01\xff"), "counts[\ufffd]", "UTF-8"),
		refused("", bytesField(17, "\x0a\x03\x0a\x01\xff"), "settings[\ufffd]", "UTF-8"),
		refused("", bytesField(14, "\x18\x01"), "slots", "an entry of a map"),
		refused(`,"nullFields":"`+strings.Repeat("x", 5000)+`"`, nil, "null_fields", "xxx..."),
		refused(`,"emptyFields":"`+strings.Repeat("tags,", mostMasks)+`tags"`, nil, "empty_fields", "more than 4096"),
		refused(`,"nullFields":"part.id"`, bytesField(11, string(varint(77, 1))), "part.77", "77"),
		// Additional properties.
		requestRow{id: "updateThing", text: `{` + path + `,"name":"n","part":{"id":"p","additionalProperties":{"port":"x","new":[{}]}},"additionalProperties":{"tags":[],"active":null,"counts":{},"added":{"a":[1,null]}}}`,
			path: "/networks/N_1/things/5", body: `{"name":"n","part":{"id":"p","new":[{}],"port":"x"},"active":null,"added":{"a":[1,null]},"counts":{},"tags":[]}`}.shows("additional properties"),
		{id: "updateThing", text: `{` + path + `,"parts":[{"additionalProperties":{"inners":[]}},{"id":"q","additionalProperties":{}}],"slots":{"a":{"additionalProperties":{"id":{}}}}}`, path: "/networks/N_1/things/5",
			body: `{"parts":[{"inners":[]},{"id":"q"}],"slots":{"a":{"id":{}}}}`},
		{id: "updateThing", text: `{` + path + `,"additionalProperties":{"number":"7"}}`, path: "/networks/N_1/things/5", body: `{"number":"7"}`}, // of the body, beside the one of the path
		{id: "updateThing", text: `{` + path + `,"additionalProperties":{"validate":true}}`, path: "/networks/N_1/things/5", body: `{"validate":true}`},
		{id: "updateThing", text: `{` + path + `,"additionalProperties":{"_json":{"a":1}}}`, path: "/networks/N_1/things/5", body: `{"_json":{"a":1}}`},
		{id: "updateThing", text: `{` + path + `,"nullFields":"part.id","additionalProperties":{"x":1}}`, path: "/networks/N_1/things/5", body: `{"part":{"id":null},"x":1}`},
		requestRow{id: "updateThing", text: `{` + path + `,"additionalProperties":{"_json":[1]}}`, path: "/networks/N_1/things/5", body: `[1]`}.shows("only _json, which is no object"),
		{id: "updateThing", text: `{` + path + `,"additionalProperties":{"_json":null}}`, path: "/networks/N_1/things/5", body: `null`},
		{id: "replaceRules", text: `{"additionalProperties":{"_json":[{"id":1}]}}`, path: "/rules", body: `[{"id":1}]`},
		{id: "replaceRules", text: `{"additionalProperties":{"rules":[],"other":1}}`, path: "/rules", body: `{"other":1,"rules":[]}`},
		{id: "replaceRules", text: `{"additionalProperties":{}}`, refused: "rules", says: "empty_fields"},
		refused(`,"name":"n","additionalProperties":{"name":"m"}`, nil, "additional_properties[name]", "field name has a value").shows("an additional property that has a value already"),
		refused(`,"part":{"id":"p","additionalProperties":{"id":null}}`, nil, "part.additional_properties[id]", "field id has a value"),
		refused(`,"parts":[{},{"inners":[{}],"additionalProperties":{"inners":[]}}]`, nil, "parts[1].additional_properties[inners]", "field inners has a value"),
		refused(`,"nullFields":"name","additionalProperties":{"name":1}`, nil, "additional_properties[name]", "null_fields names"),
		refused(`,"emptyFields":"part.inners","part":{"additionalProperties":{"inners":1}}`, nil, "part.additional_properties[inners]", "empty_fields names"),
		refused(`,"nullFields":"additional_properties"`, nil, "null_fields", "does not exist"),
		refused(`,"additionalProperties":{"networkId":"N_2"}`, nil, "additional_properties[networkId]", "parameter of the path"),
		refused(`,"name":"n","additionalProperties":{"_json":[]}`, nil, "additional_properties[_json]", "whole body"),
		refused(`,"nullFields":"name","additionalProperties":{"_json":[]}`, nil, "additional_properties[_json]", "whole body"),
		refused("", bytesField(2047, string(bytesField(1, "\x0a\x01k\x12\x00"))), "additional_properties[k]", "kind"),
		refused("", bytesField(2047, string(bytesField(9, ""))), "additional_properties.9", "number 9"),
		refused("", varint(2047, 1), "additional_properties", "wire type"),
		refused("", bytesField(2047, string(bytesField(1, "\x0a\x01k\x12"+string(freeDeep(50))))), "additional_properties[k]"+strings.Repeat("[0]", 50), "100"),
		{id: "replaceRules", text: `{"rules":[{}],"additionalProperties":{"other":1}}`, refused: "additional_properties", says: "rules is the whole body"},
		{id: "replaceRules", text: `{"rules":[{}],"additionalProperties":{"_json":[]}}`, refused: "additional_properties[_json]", says: "whole body"},
		requestRow{id: "getThing", text: `{"thingId":"t","additionalProperties":{"a":1}}`, refused: "additional_properties", says: "BrokerService.Call"}.shows("additional properties in a query"),
		{id: "getThings", text: `{"organizationId":"1"}`, extra: bytesField(2047, ""), refused: "additional_properties", says: "BrokerService.Call"},
		{id: "deleteThing", text: `{"thingId":"t"}`, extra: bytesField(2047, ""), refused: "additional_properties", says: "BrokerService.Call"},
		{id: "getThings", text: `{"organizationId":"1","interfaces":[{"name":"n","additionalProperties":{}}]}`, refused: "interfaces[0].additional_properties", says: "BrokerService.Call"},
		requestRow{id: "updateThing", text: `{` + path + `}`, extra: bytesField(2047, string(bytesField(1, "\x0a\x01k\x12"+string(protowire.AppendBytes(nil, bytesField(3, strings.Repeat("\x01", 3<<20))))))),
			refused: "additional_properties", says: "longer than 16777216"}.shows("a body of more than 16 MiB"),
		{id: "updateThing", text: `{` + path + `}`, extra: bytesField(11, string(bytesField(2047, string(bytesField(1, "\x0a\x01k\x12"+string(protowire.AppendBytes(nil, bytesField(3, strings.Repeat("\x01", 3<<20))))))))),
			refused: "part.additional_properties", says: "longer than 16777216"},
		{id: "updateThing", text: `{` + path + `}`, extra: bytesField(4, strings.Repeat("\x01", 3<<20)), refused: "-", says: "longer than 16777216"},
		// Retired fields, and one whose property has gone from the document.
		requestRow{id: "updateThing", text: `{` + path + `,"size":"5","since":"6","gone":"g","part":{"weight":"7"}}`, path: "/networks/N_1/things/5", query: "since=6", body: `{"part":{"weight":7},"size":5,"gone":"g"}`}.shows("a retired field"),
		requestRow{id: "updateThing", text: `{` + path + `,"size":"5","sizeV2":"5","part":{"weight":"7","weightV2":7},"parts":[{"weight":"9007199254740992","weightV2":9007199254740992}]}`, path: "/networks/N_1/things/5",
			body: `{"part":{"weight":7},"parts":[{"weight":9007199254740992}],"size":"5"}`}.shows("a retired field and the newer one of its property"),
		{id: "updateThing", text: `{` + path + `,"size":"5","sizeV2":"5","nullFields":"name","part":{"weight":"7","weightV2":7}}`, path: "/networks/N_1/things/5", body: `{"name":null,"part":{"weight":7},"size":"5"}`},
		refused(`,"size":"5","sizeV2":"6"`, nil, "size", "use size_v2"),
		refused(`,"size":"5","sizeV2":"05"`, nil, "size", "use size_v2"),
		refused(`,"size":"5","sizeV2":"6","nullFields":"name"`, nil, "size", "use size_v2"),
		refused(`,"since":"6","sinceV2":["6"]`, nil, "since", "use since_v2"),
		refused(`,"part":{"inners":[{},{"weight":"7","weightV2":7.5}]}`, nil, "part.inners[1].weight", "use weight_v2"),
		refused(`,"part":{"weight":"7","weightV2":7.5},"nullFields":"part.id"`, nil, "part.weight", "use weight_v2"),
		refused(`,"part":{"weight":"7","weightV2":"NaN"}`, nil, "part.weight_v2", "NaN"),
		refused(`,"size":"5"`, bytesField(28, "\xff"), "size_v2", "UTF-8"),
		refused(`,"lastSeen":"2020-01-01T00:00:00Z","lastSeenV0":true`, nil, "last_seen_v0", "use last_seen"),
		requestRow{id: "updateThing", text: `{` + path + `,"lost":"x"}`, refused: "lost", says: "no place for it any more"}.shows("a retired field that has no place any more"),
		refused(`,"lost":"x","nullFields":"name"`, nil, "lost", "no place for it any more"),
		refused(`,"numbered":true`, nil, "numbered", "use network_id"),
		{id: "updateThing", text: `{` + path + `,"part":{"port":"1"},"nullFields":"size,part.weight"}`, path: "/networks/N_1/things/5", body: `{"part":{"port":1,"weight":null},"size":null}`},
		refused(`,"nullFields":"lost"`, nil, "null_fields", "does not exist"),
		{id: "getThings", text: `{"organizationId":"1","startDate":{"before":true}}`, path: "/organizations/1/things", query: "startDate%5Blt%5D=true"},
		{id: "getThings", text: `{"organizationId":"1","startDate":{"before":true,"lt":"2020-01-01T00:00:00Z"}}`, refused: "start_date.before", says: "use lt"},
		refused(`,"size":"5","nullFields":"size_v2"`, nil, "null_fields", "in size"),
		refused(`,"part":{"weight":"5"},"nullFields":"part.weight_v2"`, nil, "null_fields", "in weight"),
		refused(`,"size":"5","additionalProperties":{"size":[]}`, nil, "additional_properties[size]", "field size has a value"),
		// A field that is the whole body.
		{id: "replaceRules", text: `{"rules":[{"id":"a"},{}]}`, path: "/rules", body: `[{"id":"a"},{}]`},
		{id: "replaceRules", text: `{"emptyFields":"rules"}`, path: "/rules", body: `[]`},
		{id: "replaceRules", text: `{"nullFields":"rules"}`, path: "/rules", body: `null`},
		requestRow{id: "replaceRules", text: `{}`, refused: "rules", says: "empty_fields"}.shows("the whole body is one field, and it is absent"),
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	for _, row := range requestRows() {
		r, err := cornerOf(t, row.id).plan.Request(append(requestSeed(t, row.id, row.text), row.extra...))
		if row.refused != "" {
			if row.refused == "-" {
				row.refused = ""
			}
			f := fault.As(err)
			if f == nil || f.Kind != fault.BadRequest || f.Operation != row.id || f.Field != row.refused || !strings.Contains(f.Detail, row.says) ||
				!strings.HasSuffix(f.Detail, "nothing was sent") {
				t.Errorf("%s %x: %#v, want a refusal of %q", row.text, row.extra, err, row.refused)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s %x: %v", row.text, row.extra, err)
			continue
		}
		if r.Path != row.path || r.Query != row.query || string(r.Body) != row.body || (r.Body == nil) != (row.body == "") {
			t.Errorf("%s %x:\n got %q %q %q\nwant %q %q %q", row.text, row.extra, r.Path, r.Query, r.Body, row.path, row.query, row.body)
		}
	}
}

func TestRequestParams(t *testing.T) {
	t.Parallel()
	r, err := cornerOf(t, "updateThing").plan.Request(requestSeed(t, "updateThing", `{"networkId":"N:1@a","number":-5,"name":"n"}`))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Params) != 2 || r.Params[0] != "N:1@a" || r.Params[1] != "-5" || r.Path != "/networks/N%3A1%40a/things/-5" || r.Query != "" {
		t.Errorf("%q of %q", r.Params, r.Path)
	}
}

// TestRepeatedRecordsAreReadOnce: what comes in many parts takes memory, and so time,
// by its length, and not by its length for each part.
func TestRepeatedRecordsAreReadOnce(t *testing.T) { // not parallel: it measures the process
	const parts = 4000
	bytesField := func(number protowire.Number, b []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), b)
	}
	text := bytesField(3, []byte("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"))
	entry := func(value ...[]byte) []byte { // of additional_properties
		return bytesField(2047, bytesField(1, append(bytesField(1, []byte("k")), bytes.Join(value, nil)...)))
	}
	many := func(one []byte) []byte { return bytes.Repeat(one, parts) }
	part := bytesField(5, bytesField(1, append(bytesField(1, []byte("a")), bytesField(2, text)...)))
	for name, wire := range map[string][]byte{
		"an object in parts":           entry(bytesField(2, many(part))),
		"a list in parts":              entry(bytesField(2, many(bytesField(6, bytesField(1, text))))),
		"a value of a map in parts":    entry(many(bytesField(2, part))),
		"objects and lists in turn":    entry(bytesField(2, append(many(append(bytesField(6, nil), part...)), part...))),
		"additional properties, often": many(entry(bytesField(2, part))),
		"masks":                        many(bytesField(2046, []byte("name"))),
	} {
		wire = append(requestSeed(t, "updateThing", `{"networkId":"N_1","number":5}`), wire...)
		plan := cornerOf(t, "updateThing").plan
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = plan.Request(wire)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 64*uint64(len(wire)) {
			t.Errorf("%s: %d bytes are taken for a request of %d", name, n, len(wire))
		}
	}
}

// TestMasksDoNotMakeABodyLong: what they write into every element of a list is bounded as
// it is written.
func TestMasksDoNotMakeABodyLong(t *testing.T) {
	t.Parallel()
	wire := requestSeed(t, "updateThing", `{"networkId":"N_1","number":5,"nullFields":"parts.*.id,parts.*.port"}`)
	part := protowire.AppendBytes(protowire.AppendTag(nil, 12, protowire.BytesType), nil)
	wire = append(wire, bytes.Repeat(part, 2*maxBody/len(`{"id":null,"port":null},`))...)
	plan := cornerOf(t, "updateThing").plan
	var w writer
	if _, ok := plan.compose(&w, wire, make([]param, len(plan.names))); ok || len(w.out) > maxBody+1<<10 {
		t.Errorf("%t, with %d bytes for %d", ok, len(w.out), len(wire))
	}
}

// TestDisorderIsPutInOrderOnce: at each level, and not again for each level around it.
func TestDisorderIsPutInOrderOnce(t *testing.T) {
	t.Parallel()
	var part []byte
	for range 40 {
		part = protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), part)
		part = protowire.AppendString(protowire.AppendTag(part, 1, protowire.BytesType), "x")
	}
	wire := requestSeed(t, "updateThing", `{"networkId":"N_1","number":5}`)
	wire = protowire.AppendBytes(protowire.AppendTag(wire, 11, protowire.BytesType), part)
	r, err := cornerOf(t, "updateThing").plan.Request(wire)
	if err != nil || strings.Count(string(r.Body), `{"id":"x"`) != 40 {
		t.Fatalf("%v, %v", r, err)
	}
}
