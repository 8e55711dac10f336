package main

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"

	"github.com/merakibroker/merakibroker/service/sandbox"
)

// TestPlain: nothing from outside steers a terminal.
func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"Lobby <b>":          "Lobby <b>",
		"Empfang Zürich 東京":  "Empfang Zürich 東京",
		"\x1b[31mred\x1b[0m": `\x1b[31mred\x1b[0m`,
		"a\nb\tc\r":          `a\nb\tc\r`,
		"csi \u009b31m":      `csi \u009b31m`,
		"\u202egnp.exe":      `\u202egnp.exe`,
		"zero\u200bwidth":    `zero\u200bwidth`,
		"bad \xff":           "bad \ufffd",
	} {
		if got := plain(in); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
}

// TestTerminalIsSafe: what the Dashboard says in JSON steers no terminal and stays the
// same JSON, and errors and tables are escaped.
func TestTerminalIsSafe(t *testing.T) {
	b := newBench(t, sandbox.Options{})
	network := b.sandbox.NetworkID(0, 0)
	const name = "x\x1b[2J\u009b2J\u202e\U000e0041"
	body, _ := json.Marshal(map[string]string{"name": name})
	if r := b.do(t, "", "call", "PUT", "/networks/"+network, "--data", string(body)); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	r := b.with(t, &app{terminal: true}, "call", "GET", "/networks/"+network)
	if strings.ContainsFunc(strings.ReplaceAll(r.out, "\n", ""), hidden) {
		t.Errorf("shown in a terminal: %q", r.out)
	}
	var network2 struct{ Name string }
	if err := json.Unmarshal([]byte(r.out), &network2); err != nil || network2.Name != name {
		t.Errorf("%q %v", network2.Name, err)
	}
	for _, args := range [][]string{{"can", "\x1b[31mme", "getOrganizations"}, {"explain", "GET", "/\x1b[31m"}, {"\x1b[31m"}, {"budgets", "\x1b[31m"}} {
		r := b.with(t, &app{terminal: true}, args...)
		if r.code == 0 || strings.ContainsRune(r.out+r.err, '\x1b') {
			t.Errorf("%q: %+v", args, r)
		}
	}
}

// TestColors: a terminal has them, NO_COLOR and a pipe have not.
func TestColors(t *testing.T) {
	b := newBench(t, sandbox.Options{})
	if r := b.with(t, &app{terminal: true, colored: true}, "budgets"); !strings.Contains(r.out, string(bold)+"ORGANIZATION") {
		t.Errorf("%q", r.out)
	}
	if r := b.with(t, &app{terminal: true}, "budgets"); strings.ContainsRune(r.out, '\x1b') {
		t.Errorf("%q", r.out)
	}
}

// TestTop drives top in a pseudo-terminal, and reads its screen.
func TestTop(t *testing.T) {
	b := newBench(t, sandbox.Options{Seed: 1})
	organization := b.sandbox.OrganizationID(0)
	call := func(path string) { b.do(t, "", "call", "GET", path) }
	call("/organizations/" + organization)
	call("/networks/N_404")

	keys, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = keys.Close() }()
	if err := pty.Setsize(keys, &pty.Winsize{Rows: 30, Cols: 150}); err != nil {
		t.Fatal(err)
	}
	screen := vt.NewSafeEmulator(150, 30)
	screens := make(chan string)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go func() {
		defer close(screens)
		part := make([]byte, 4096)
		for {
			n, err := keys.Read(part)
			if err != nil {
				return
			}
			_, _ = screen.Write(part[:n])
			select {
			case screens <- screen.String():
			case <-ctx.Done():
				return
			}
		}
	}()
	go func() { _, _ = io.Copy(keys, screen) }() // what a terminal answers when it is asked what it is
	// Its Close races with its Read: what it reads from is ended instead.
	defer func() { _ = screen.InputPipe().(io.Closer).Close() }()

	a := &app{in: tty, out: tty, err: io.Discard, env: func(string) string { return "" }, now: time.Now, terminal: true, colored: true}
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, a, []string{"top", "--address", b.operators, "--every", "100ms"})
		_ = tty.Close()
	}()
	last := ""
	until := func(what string, words ...string) string {
		t.Helper()
	next:
		for s := range screens {
			last = s
			for _, w := range words {
				if strings.HasPrefix(w, "!") == strings.Contains(s, strings.TrimPrefix(w, "!")) {
					continue next
				}
			}
			return s
		}
		t.Fatalf("%s: never on the screen; the last was\n%s", what, last)
		return ""
	}
	press := func(key string) {
		if _, err := keys.WriteString(key); err != nil {
			t.Fatal(err)
		}
	}
	all := until("everything", "Dashboard: OK", "Budgets", "Callers", "Operations", "Last failures", "refused (404)", "q end", organization)
	golden(t, "top-screen", strings.ReplaceAll(lines(all), organization, "ORG"))
	press("4")
	until("failures alone", "Last failures", "refused (404)", "!Budgets")
	press("2")
	until("callers alone", "anonymous", "!Last failures")
	call("/organizations")
	call("/organizations")
	press("3")
	until("new calls", "getOrganizations")
	press(" ")
	until("stopped", ", stopped")
	press("0")
	until("everything again", "Budgets", "Last failures")
	press("q")
	for range screens { // until the terminal is closed
	}
	if code := <-ended; code != 0 {
		t.Errorf("exit %d", code)
	}
	if screen.IsAltScreen() {
		t.Error("the terminal is not as it was")
	}
}

// lines is a screen without what stands at the ends of its lines.
func lines(screen string) string {
	var out []string
	for line := range strings.Lines(screen) {
		out = append(out, strings.TrimRight(line, " \n"))
	}
	return strings.Join(out, "\n") + "\n"
}
