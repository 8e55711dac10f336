package broker

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
)

func TestASlotIsSpentOnce(t *testing.T) {
	t.Parallel()
	d := &fakeDashboard{}
	b := testBroker(t, d)
	defer b.Close()
	var s slot
	if a := b.attempt(t.Context(), &s, &dashboard.Request{}); a.Outcome != fault.NotSent || d.count() != 0 {
		t.Errorf("an empty slot made an attempt: %+v", a)
	}
	s.lane = b.lanes.organization("1")
	b.fill(&s)
	if a := b.attempt(t.Context(), &s, &dashboard.Request{}); a.Outcome != fault.OK {
		t.Errorf("a slot made no attempt: %+v", a)
	}
	if a := b.attempt(t.Context(), &s, &dashboard.Request{}); a.Outcome != fault.NotSent || d.count() != 1 {
		t.Errorf("a spent slot made an attempt: %+v", a)
	}
}

func TestASlotThatIsNotSpentIsPassedOn(t *testing.T) {
	t.Parallel()
	d := &fakeDashboard{}
	b := testBroker(t, d)
	defer b.Close()
	j := &journey{ctx: t.Context(), call: read("1", 0)}
	if f := b.address(j); f != nil {
		t.Fatal(f)
	}
	if _, err := b.admit(j); err != nil {
		t.Fatal(err)
	}
	b.giveBack(&j.slot)
	b.giveBack(&j.slot) // there is nothing left to give
	if s, a := b.Budget("1"), b.Budget(""); s.Tokens < s.Burst-1e-6 || a.Tokens < a.Burst-1e-6 || b.Granted() != 0 {
		t.Errorf("%v of %v, %v of %v, %d granted", s.Tokens, s.Burst, a.Tokens, a.Burst, b.Granted())
	}
}

// TestOneWayOut holds that the Dashboard is asked in one place only, which takes
// a slot, and that slots are filled in one place only, which admits.
func TestOneWayOut(t *testing.T) {
	t.Parallel()
	set := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	callers := make(map[string][]string) // what is called: in which functions
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					callers[s.Sel.Name] = append(callers[s.Sel.Name], f.Name.Name)
				}
				return true
			})
		}
	}
	for what, want := range map[string]string{"Attempt": "attempt", "slotHeld": "", "fill": "admit"} {
		for _, in := range callers[what] {
			if in != want && !(what == "Attempt" && notAnAttempt(in)) {
				t.Errorf("%s is used in %s, and may be in %q only", what, in, want)
			}
		}
	}
}

// notAnAttempt names functions that use the type fault.Attempt.
func notAnAttempt(function string) bool { return function == "judge" }
