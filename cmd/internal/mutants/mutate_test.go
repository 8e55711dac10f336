package main

import (
	"slices"
	"testing"
)

func TestMutants(t *testing.T) {
	t.Parallel()
	found, err := Mutants("room/a.go", []byte(`package a

func f(n int, ok bool) string {
	if n < 3 && ok {
		n++
		return "x" + "y"
	}
	log.Warn("seen", "n", n+1)
	_ = f(min(n, 7), true)
	return ""
}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"if n < 3 && ok { => if n <= 3 && ok {", "if n < 3 && ok { => if n < 4 && ok {", "if n < 3 && ok { => if n < 3 || ok {",
		"if n < 3 && ok { => if !(n < 3 && ok) {", "n++ => ",
		"_ = f(min(n, 7), true) => _ = f(max(n, 7), true)", "_ = f(min(n, 7), true) => _ = f(min(n, 8), true)", "_ = f(min(n, 7), true) => _ = f(min(n, 7), false)",
	}
	var got []string
	for _, m := range found {
		if m.Room() != "room" {
			t.Errorf("%s is in the room %s", m, m.Room())
		}
		got = append(got, m.Old+" => "+m.New)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	if m := found[0]; m.Line != 4 || string(m.Text) == "" {
		t.Errorf("%+v", m)
	}
}
