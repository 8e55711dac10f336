//go:build openapi

package transcode

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/fault"
)

// A speller writes documents of a contract's own shape, mostly: with any of its
// properties, which the vendor's examples have few of, in any order, with keys that
// are spelled with escapes, stand twice, or look like a field of ours.
type speller struct{ mutator }

// oddSpellings are values beside oddValues that JSON can write in several ways.
var oddSpellings = []string{`-0`, `-0.0`, `"-0"`, `1E+2`, `100e-2`, `9223372036854775808`, `-9223372036854775809`, `-1e400`, `5e-324`, `1.7976931348623159e308`, `123456789012345680000`, `1e99999999999999999999`,
	`" 12"`, `"+12"`, `"1e2"`, `"NaN"`, `"-Infinity"`, `"0x10"`, `"2024-05-01T10:00:00.1234567891Z"`, `"2016-12-31T23:59:60Z"`, `"9999-12-31T23:59:59-01:00"`, `1714557600`,
	`"\u00e9\ud83d\ude00\/"`, `"\u0000"`, `{"a":1,"a":"x"}`, `{"a":null}`, `[{"id":"1"},null]`, `{"errors":["a"]}`, `{"items":[{"id":"1"}],"meta":{"x":[]}}`}

func (s speller) odd() string {
	if n := s.IntN(len(oddValues) + len(oddSpellings)); n >= len(oddValues) {
		return oddSpellings[n-len(oddValues)]
	} else {
		return oddValues[n]
	}
}

func (s speller) space() string {
	return []string{"", "", "", "", "", "", " ", "\r\n\t"}[s.IntN(8)]
}

// key spells a name, at times with escapes.
func (s speller) key(name string) string {
	if s.IntN(12) > 0 {
		b, _ := json.Marshal(name)
		return string(b)
	}
	var b strings.Builder
	for _, c := range name { // those of the contract are in Unicode's first plane
		fmt.Fprintf(&b, `\u%04x`, c)
	}
	return `"` + b.String() + `"`
}

// value is one for a field, or an odd one in one of so many cases.
func (s speller) value(f *field, depth, odds int) string {
	switch {
	case s.IntN(odds) == 0:
		return s.odd()
	case f.shape == list:
		return s.list(f, depth)
	case f.shape == dict:
		var parts []string
		for range s.IntN(3) {
			parts = append(parts, s.key([]string{"1", "x.y", "", "*", "é"}[s.IntN(5)])+":"+s.value(f.elem, depth+1, 60))
		}
		return "{" + strings.Join(parts, ",") + "}"
	case f.kind == kindBare:
		return s.list(&f.message.fields[0], depth)
	case f.kind == kindMessage:
		return s.object(f.message, depth)
	}
	fit := map[kind][]string{
		kindString: {`"a"`, `""`, `"é\n"`, `"12"`}, kindBool: {`true`, `false`}, kindInt: {`0`, `-5`, `9007199254740993`}, kindDouble: {`0`, `1.25`, `1e9`},
		kindTime: {`"2024-05-01T10:00:00Z"`, `"1970-01-01T00:00:00.5+02:00"`, `""`}, kindStruct: {`{}`, `{"a":[null,{}],"b":9007199254740993}`}, kindList: {`[]`, `[1,null,{}]`},
	}[f.kind]
	if len(fit) == 0 {
		return s.odd()
	}
	return fit[s.IntN(len(fit))]
}

func (s speller) list(f *field, depth int) string {
	var parts []string
	for range s.IntN(3) {
		parts = append(parts, s.value(f.elem, depth+1, 60))
	}
	return "[" + s.space() + strings.Join(parts, s.space()+",") + "]"
}

func (s speller) object(m *message, depth int) string {
	var parts []string
	share := 1 + s.IntN(4)
	for i := range m.fields {
		f := &m.fields[i]
		if f.key == hiddenKey || f.json() == wholeKey || s.IntN(4) >= share || depth > 6 && f.message != nil {
			continue
		}
		parts = append(parts, s.space()+s.key(f.json())+s.space()+":"+s.space()+s.value(f, depth+1, 12))
		switch s.IntN(40) {
		case 0:
			parts = append(parts, s.key(f.name)+":"+s.odd())
		case 1:
			parts = append(parts, s.key(f.json())+":"+s.value(f, depth+1, 2))
		case 2:
			parts = append(parts, s.key(strings.ToUpper(f.json()))+":"+s.odd())
		}
	}
	if s.IntN(4) == 0 {
		parts = append(parts, s.key([]string{"null_fields", "pageInfo", "items", "value", "errors", s.name()}[s.IntN(6)])+":"+s.odd())
	}
	if s.IntN(3) == 0 {
		s.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	}
	return "{" + strings.Join(parts, s.space()+",") + s.space() + "}"
}

// document is one for a plan of answers.
func (s speller) document(p *Plan) []byte {
	f := &field{kind: kindMessage, message: p.response}
	switch {
	case p.root != nil && (!p.properties || s.IntN(2) == 0):
		f = p.root
	case p.rows != nil && s.IntN(4) == 0:
		f = p.rows
	}
	return []byte(s.value(f, 0, 40))
}

// TestMutatedSpellings: documents of any shape and spelling, for every RPC, come back
// from the wire; and what a request's message makes of one is sent as it was.
func TestMutatedSpellings(t *testing.T) {
	_, contracts, compiler := vendor(t)
	answers, bodies := 0, 0
	for _, c := range served(t) {
		p, m := planOf(t, contracts, compiler, c.op.GetId())
		s := speller{seedOf(t, example{operation: c.op.GetId()}, 0)}
		for range *mutations {
			doc := s.document(p)
			wire, err := p.Response(nil, doc, nil, nil)
			if f := fault.As(err); f != nil && f.Reason != "" {
				continue // errors in place of a list
			}
			message := dynamicpb.NewMessage(c.method.Output())
			if err := (proto.UnmarshalOptions{RecursionLimit: 100}).Unmarshal(wire, message); err != nil || len(message.GetUnknown()) > 0 {
				t.Errorf("%s: the wire of %s does not parse: %v", c.op.GetId(), doc, err)
			}
			compareRoundTrip(t, p, doc)
			answers++
		}
		if v := c.op.GetVerb(); v != apiv1.Verb_VERB_PUT && v != apiv1.Verb_VERB_POST || !p.body {
			continue
		}
		as := bodyPlan(p, p.request)
		for range *mutations {
			doc := s.document(as)
			if p.whole < 0 {
				compareSent(t, p, m, doc, p.request)
				compareSent(t, p, m, doc, &message{additional: p.request.additional})
			} else if rows(doc) {
				compareSent(t, p, m, doc, p.request)
			}
			bodies++
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("seed %d: %d answers, %d bodies", *mutationSeed, answers, bodies)
}
