package transcode

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// TestCompileRefuses: a contract that cannot be mapped is told by the field.
func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ name, operation, request, response, says string }{
		{"type", `id:"x" verb:VERB_GET path:"/x"`, "", "optional int32 a = 1;", "Y.a: type int32"},
		{"enum", `id:"x" verb:VERB_GET path:"/x"`, "", "enum E { E_A = 0; } optional E a = 1;", "type enum"},
		{"map key", `id:"x" verb:VERB_GET path:"/x"`, "", "map<int64, string> a = 1;", "keys of a map"},
		{"two names", `id:"x" verb:VERB_GET path:"/x"`, "", `optional string a = 1; optional string b = 2 [(meraki.api.v1.binding) = {name: "a"}];`, "two fields are"},
		{"name", `id:"x" verb:VERB_GET path:"/x"`, "", `optional string a = 1 [(meraki.api.v1.binding) = {name: "a\"b"}];`, "needs escapes"},
		{"bare", `id:"x" verb:VERB_GET path:"/x"`, "", `message L { repeated string values = 1 [(meraki.api.v1.binding) = {name: "[]"}]; } L a = 1;`, "outside of a list"},
		{"response field", `id:"x" verb:VERB_GET path:"/x" response_field:"y"`, "", "", `no field "y"`},
		{"request field", `id:"x" verb:VERB_PUT path:"/x" request_field:"y"`, "optional string a = 1;", "", `"y" has to be the only field`},
		{"path", `id:"x" verb:VERB_GET path:"x"`, "", "", "slash"},
		{"template", `id:"x" verb:VERB_GET path:"/x/{a"`, "", "", "template"},
		{"twice", `id:"x" verb:VERB_GET path:"/x/{a}/{a}"`, "optional string a = 1;", "", "template"},
		{"no parameter", `id:"x" verb:VERB_GET path:"/x/{a}"`, "", "", "no field for {a}"},
		{"parameter", `id:"x" verb:VERB_GET path:"/x/{a}"`, "repeated string a = 1;", "", "a parameter of the path"},
		{"stray parameter", `id:"x" verb:VERB_GET path:"/x"`, "optional string a = 1 [(meraki.api.v1.binding) = {location: LOCATION_PATH}];", "", "no {a}"},
		{"parameter twice", `id:"x" verb:VERB_GET path:"/x/{a}"`, `optional string a = 1; optional string b = 2 [(meraki.api.v1.binding) = {location: LOCATION_PATH name: "a"}];`, "", "two fields"},
		{"verb", `id:"x" path:"/x"`, "optional string a = 1;", "", "verb"},
		{"query map", `id:"x" verb:VERB_GET path:"/x"`, "map<string, string> a = 1;", "", "no form for maps"},
		{"query value", `id:"x" verb:VERB_GET path:"/x"`, "google.protobuf.Struct a = 1;", "", "no form for free"},
		{"body twice", `id:"x" verb:VERB_PUT path:"/x"`, `optional string a = 1; optional string b = 2 [(meraki.api.v1.binding) = {name: "a"}];`, "", "two fields of the body"},
		{"required", `id:"x" verb:VERB_PUT path:"/x" required_lists:"b[].a"`, `repeated string a = 1; repeated string b = 2;`, "", `"b[].a" leads to nothing`},
		{"required of a query", `id:"x" verb:VERB_GET path:"/x" required_lists:"a"`, "repeated string a = 1;", "", "leads to nothing"},
		{"required many", `id:"x" verb:VERB_PUT path:"/x" ` + manyRequired(), strings.Join(strings.SplitAfter(manyFields(), ";")[:maxRequired+1], ""), "", "more than 64"},
		{"many fields", `id:"x" verb:VERB_GET path:"/x"`, "", manyFields(), "300 fields"},
	} {
		text := `syntax = "proto3"; package t.v1; import "google/protobuf/struct.proto"; import "meraki/api/v1/operation.proto";
			service S { rpc X(XRequest) returns (Y) { option (meraki.api.v1.operation) = {` + row.operation + `}; } }
			message XRequest {` + row.request + `} message Y {` + row.response + `}`
		service, err := compileWith("t.proto", &protocompile.SourceResolver{Accessor: func(path string) (io.ReadCloser, error) {
			if path == "t.proto" {
				return io.NopCloser(strings.NewReader(text)), nil
			}
			return os.Open(filepath.Join("../../proto", path))
		}})
		if err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		m := service.Methods().Get(0)
		_, err = Compile(m, proto.GetExtension(m.Options(), apiv1.E_Operation).(*apiv1.Operation))
		if err == nil || !strings.Contains(err.Error(), row.says) || !strings.Contains(err.Error(), "transcode: x: ") {
			t.Errorf("%s: %v, want %q", row.name, err, row.says)
		}
	}
}

func manyRequired() string {
	var b strings.Builder
	for i := range maxRequired + 1 {
		fmt.Fprintf(&b, `required_lists:"f%d" `, i)
	}
	return b.String()
}

func manyFields() string {
	var b strings.Builder
	for i := range 300 {
		fmt.Fprintf(&b, "optional string f%d = %d;", i, i+1)
	}
	return b.String()
}

// TestCompilerIsShared: plans of one compiler share message types, also when
// they are made at the same time.
func TestCompilerIsShared(t *testing.T) {
	t.Parallel()
	compiler := NewCompiler()
	things, shelf := cornerOf(t, "getThings"), cornerOf(t, "getShelf")
	plans := make([]*Plan, 8)
	var wait sync.WaitGroup
	for i := range plans {
		wait.Go(func() {
			c := things
			if i%2 == 1 {
				c = shelf
			}
			plans[i], _ = compiler.Compile(c.method, c.op)
		})
	}
	wait.Wait()
	for _, p := range plans {
		if p == nil || p.response.fields[0].message != plans[0].response.fields[0].message {
			t.Fatal("Thing is described twice")
		}
	}
}

// TestLookup finds every field by key and by number, and nothing else.
func TestLookup(t *testing.T) {
	t.Parallel()
	m := cornerOf(t, "getThing").plan.response
	for i := range m.fields {
		f := &m.fields[i]
		if at := m.byKey([]byte(f.json())); at != i && f.key != hiddenKey {
			t.Errorf("%s is found at %d, not %d", f.key, at, i)
		}
		for _, name := range []string{f.json() + "x", "x" + f.json(), strings.ToUpper(f.json()) + "Y"} {
			if at := m.byKey([]byte(name)); at >= 0 {
				t.Errorf("%s is found at %d", name, at)
			}
		}
		for expected := range len(m.fields) + 1 {
			if at := m.byNumber(uint64(f.number), expected); at != i {
				t.Errorf("%d is found at %d, not %d, expecting %d", f.number, at, i, expected)
			}
			if at := m.byNumber(uint64(f.number)+1000, expected); at >= 0 {
				t.Errorf("%d is found at %d", f.number+1000, at)
			}
		}
	}
}
