package broker

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/lane"
)

func TestAnAttemptTakesASlot(t *testing.T) {
	t.Parallel()
	d := &fakeDashboard{}
	b := testBroker(t, d)
	defer b.Close()
	var s lane.Slot
	attempt := func() *dashboard.Result { return b.attempt(t.Context(), &s, &dashboard.Request{}) }
	if a := attempt(); a.Outcome != fault.NotSent || d.count() != 0 {
		t.Errorf("an empty slot made an attempt: %+v", a)
	}
	b.lanes.Assign(&s, payerOf(read("1", 0), "1"))
	if f := s.Acquire(t.Context(), &lane.Request{Weight: 1}); f != nil {
		t.Fatal(f)
	}
	if a := attempt(); a.Outcome != fault.OK {
		t.Errorf("a slot made no attempt: %+v", a)
	}
	if a := attempt(); a.Outcome != fault.NotSent || d.count() != 1 {
		t.Errorf("a spent slot made an attempt: %+v", a)
	}
}

// TestOneWayOut holds that the Dashboard is asked in one place only, which spends
// a slot, and that nothing but that place has the Dashboard in its hands.
func TestOneWayOut(t *testing.T) {
	t.Parallel()
	// Each use of a selector: in which functions.
	uses := make(map[string][]string)
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
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
					of := s.Sel.Name
					if x, ok := s.X.(*ast.SelectorExpr); ok {
						of = x.Sel.Name + "." + of
					}
					uses[of] = append(uses[of], f.Name.Name)
				}
				return true
			})
		}
	}
	for what, want := range map[string][]string{
		"Dashboard.Attempt": {"attempt"}, "config.Dashboard": {"attempt"},
		"Spend": {"attempt"}, "slot.Acquire": {"acquire"},
	} {
		if got := uses[what]; !slices.Equal(got, want) {
			t.Errorf("%s is used in %q, want %q", what, got, want)
		}
	}
}
