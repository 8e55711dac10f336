package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/service/sandbox"
)

// begin runs a command that goes on until it is interrupted, and gives its lines. end
// interrupts it and gives its exit code.
func (b *bench) begin(t *testing.T, args ...string) (lines *bufio.Scanner, end func() int) {
	t.Helper()
	read, write := io.Pipe()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	code := make(chan int, 1)
	go func() {
		a := &app{in: strings.NewReader(""), out: write, err: io.Discard, env: func(string) string { return "" }, now: time.Now}
		code <- run(ctx, a, args)
		_ = write.Close()
	}()
	return bufio.NewScanner(read), func() int {
		cancel()
		_, _ = io.Copy(io.Discard, read)
		return <-code
	}
}

// TestFollow: attempts come as they end, each once.
func TestFollow(t *testing.T) {
	b := newBench(t, sandbox.Options{})
	organization := b.sandbox.OrganizationID(0)
	b.do(t, "", "call", "GET", "/organizations/"+organization)
	lines, end := b.begin(t, "attempts", "--follow", "-o", "json", "--caller", "anonymous", "--address", b.operators)
	next := func() string {
		t.Helper()
		if !lines.Scan() {
			t.Fatal("it has ended")
		}
		var one struct{ Operation string }
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		return one.Operation
	}
	if got := next(); got != "getOrganization" {
		t.Errorf("first %s", got)
	}
	b.do(t, "", "call", "GET", "/organizations/"+organization+"/networks")
	if got := next(); got != "getOrganizationNetworks" {
		t.Errorf("then %s", got)
	}
	if code := end(); code != exitInterrupted {
		t.Errorf("exit %d", code)
	}
}

// TestWatch: the state comes, then what has changed.
func TestWatch(t *testing.T) {
	b := newBench(t, sandbox.Options{})
	organization := b.sandbox.OrganizationID(0)
	lines, end := b.begin(t, "watch", "/organizations/"+organization+"/networks?perPage=1000", "-q", "isBoundToConfigTemplate=false", "--age", "1s", "--address", b.callers)
	type state struct {
		Whole            bool
		Changed, Removed struct{ Items []struct{ ID, Name string } }
	}
	next := func() (s state) {
		t.Helper()
		if !lines.Scan() {
			t.Fatal("it has ended")
		}
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		return s
	}
	if first := next(); !first.Whole {
		t.Errorf("%+v", first)
	}
	if code := end(); code != exitInterrupted {
		t.Errorf("exit %d", code)
	}
	for _, args := range []string{"watch /nothing/here", "watch /organizations/" + organization + "/networks -q no=1", "watch /organizations/../x"} {
		if r := b.do(t, "", strings.Fields(args)...); r.code != exitMisuse {
			t.Errorf("%s: %+v", args, r)
		}
	}
}

// TestApplyShows a bar in a terminal, and every write as JSON.
func TestApplyShows(t *testing.T) {
	b := newBench(t, sandbox.Options{BatchTime: 50 * time.Millisecond})
	var list []string
	for n := range 4 {
		list = append(list, `{"operation": "updateNetwork", "request": {"networkId": "`+b.sandbox.NetworkID(0, n)+`", "name": "Hall"}}`)
	}
	file := filepath.Join(t.TempDir(), "writes.json")
	if err := os.WriteFile(file, []byte("["+strings.Join(list, ",")+"]"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := b.with(t, &app{terminal: true}, "apply", file)
	if r.code != 0 || !strings.Contains(r.out, "4 of 4 writes made") || !strings.Contains(r.err, "] 4 of 4, 0 not made") {
		t.Errorf("%+v", r)
	}
	r = b.do(t, "", "apply", file, "--validate-only", "-o", "json")
	if r.code != 0 || strings.Count(r.out, "\n") != 4 || strings.Count(r.out, `"valid":{}`) != 4 {
		t.Errorf("%+v", r)
	}
}

// TestApplyWaits while an operator holds writes, and says so beside the results.
func TestApplyWaits(t *testing.T) {
	b := newBench(t, sandbox.Options{BatchTime: 50 * time.Millisecond})
	if r := b.do(t, "", "hold", "writes", "--for", "1s", "--reason", "the store moves", "--token-file", b.token); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	r := b.do(t, `{"operation": "updateNetwork", "request": {"networkId": "`+b.sandbox.NetworkID(0, 0)+`", "name": "Hall"}}`, "apply", "-", "-o", "json")
	if r.code != 0 || strings.Count(r.out, "\n") != 1 || !strings.Contains(r.out, `"done"`) || strings.Count(r.err, "writes of the list wait: ") != 1 || !strings.Contains(r.err, "(the store moves); they are tried again\n") {
		t.Errorf("%+v", r)
	}
}
