package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/merakibroker/merakibroker/service/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A line is one, as it was written.
type line struct {
	Time          time.Time
	Kind          string
	Number        int
	Caller, Path  string
	Outcome       string
	Reason        string
	Attempts      int
	Key           string `json:"idempotency_key"`
	SkippedBefore int    `json:"skipped_before"`
	text          string
}

func linesOf(t testing.TB, texts ...[]byte) (all []line) {
	t.Helper()
	for _, text := range texts {
		for one := range strings.Lines(string(text)) {
			l := line{text: one}
			if err := json.Unmarshal([]byte(one), &l); err != nil {
				t.Fatalf("%q: %v", one, err)
			}
			all = append(all, l)
		}
	}
	return all
}

// inOrder fails unless number n stands at place n, and time goes forward.
func inOrder(t *testing.T, all []line, n int) {
	t.Helper()
	if len(all) != n {
		t.Fatalf("%d lines, want %d", len(all), n)
	}
	for i, l := range all {
		if l.Number != i+1 || i > 0 && l.Time.Before(all[i-1].Time) {
			t.Fatalf("line %d is %s", i+1, l.text)
		}
	}
}

func newLog(t *testing.T, c Config) *Log {
	t.Helper()
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	l, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestCompleteAndInOrder: many write at once, and the file is renamed under them; every
// line is there once, in one order over all files.
func TestCompleteAndInOrder(t *testing.T) {
	t.Parallel()
	const writers, each = 8, 250
	name := filepath.Join(t.TempDir(), "audit.jsonl")
	l := newLog(t, Config{To: NewFile(name)})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				l.Wrote(Entry{Caller: fmt.Sprint(w), Path: fmt.Sprint("/", i)})
				if w == 0 && i%50 == 20 {
					_ = os.Rename(name, fmt.Sprintf("%s.%03d", name, i)) // there may be none yet
				}
			}
		})
	}
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	rotated, err := filepath.Glob(name + ".*")
	if err != nil || len(rotated) < 3 {
		t.Fatalf("%v, %v", rotated, err)
	}
	var texts [][]byte
	for _, file := range append(rotated, name) { // Glob sorts
		texts = append(texts, read(t, file))
	}
	all := linesOf(t, texts...)
	inOrder(t, all, writers*each)
	next := make(map[string]int)
	for _, one := range all {
		if one.Path != fmt.Sprint("/", next[one.Caller]) {
			t.Fatalf("%s comes after %d of its caller", one.text, next[one.Caller])
		}
		next[one.Caller]++
	}
}

// A disk takes so many bytes, and then none.
type disk struct {
	room int
	bytes.Buffer
}

func (d *disk) Ready() error { return nil }
func (d *disk) Close() error { return nil }
func (d *disk) Write(p []byte) (int, error) {
	n := min(len(p), d.room)
	d.room -= n
	_, _ = d.Buffer.Write(p[:n])
	if n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

// TestAFullDisk: lines wait in their order, and are written when there is room, also
// when no other line comes; in the middle of a line, too. What has no room in memory is
// counted, and its numbers are missing.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &disk{room: 1000}
		var said bytes.Buffer
		l := newLog(t, Config{To: d, Log: slog.New(slog.NewTextHandler(&said, nil)), Insist: true})
		for range 20 {
			l.Wrote(Entry{Caller: "a", Path: "/networks/N_1"})
		}
		if f := l.Ready(); f == nil || f.Reason != "AUDIT_UNAVAILABLE" || f.Kind != fault.Unreachable || f.RetryAfter <= 0 {
			t.Errorf("a write may be made: %v", f)
		}
		if n := strings.Count(said.String(), "level=ERROR"); n != 1 || !strings.Contains(said.String(), "no space left") {
			t.Errorf("it is said %d times: %s", n, &said)
		}
		l.mu.Lock()
		d.room = 1 << 30
		l.mu.Unlock()
		time.Sleep(2 * retryEvery)
		synctest.Wait()
		if f := l.Ready(); f != nil {
			t.Error(f)
		}
		inOrder(t, linesOf(t, d.Bytes()), 20)

		l.mu.Lock()
		d.room = 0
		l.mu.Unlock()
		const more = 60_000
		for range more {
			l.Wrote(Entry{Caller: "a", Path: "/networks/N_1"})
		}
		lost, waiting := l.Lost()
		if lost == 0 || waiting > mostWaiting {
			t.Errorf("%d lost, %d bytes wait", lost, waiting)
		}
		l.mu.Lock()
		d.room = 1 << 30
		l.mu.Unlock()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		all := linesOf(t, d.Bytes())
		if len(all)+int(lost) != 20+more {
			t.Errorf("%d lines and %d lost of %d", len(all), lost, 20+more)
		}
		inOrder(t, all, len(all)) // the last ones are lost, so that the others are whole
	})
}

// TestAFileThatCannotBeWritten: without Required nothing is refused; the start says so.
func TestAFileThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{To: NewFile(filepath.Join(t.TempDir(), "none", "audit"))}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
	l := newLog(t, Config{To: NewFile("/dev/full")})
	l.Wrote(Entry{Caller: "a"})
	if f := l.Ready(); f != nil {
		t.Error(f)
	}
	if _, waiting := l.Lost(); waiting == 0 {
		t.Error("nothing waits")
	}
	if err := l.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("closed with %v", err)
	}
}

// TestOutcomes: what is said of each way in which a call ends; refusals are sampled.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	var d disk
	d.room = 1 << 30
	l := newLog(t, Config{To: &d})
	attempts := []fault.Attempt{{}, {}}
	for _, c := range []struct {
		e    Entry
		want string
	}{
		{Entry{Attempts: 3}, "done"},
		{Entry{Fault: &fault.Error{Kind: fault.OutcomeUnknown}}, "unknown OUTCOME_UNKNOWN"},
		{Entry{Fault: &fault.Error{Kind: fault.NotFound, HTTPStatus: 404, Attempts: attempts}}, "failed NOT_FOUND"},
		{Entry{Fault: &fault.Error{Kind: fault.BudgetExhausted, Attempts: attempts}}, "failed BUDGET_EXHAUSTED"},
		{Entry{Fault: &fault.Error{Kind: fault.Unreachable, Reason: "X"}, Pending: true}, "pending X"},
	} {
		d.Reset()
		l.Wrote(c.e)
		got := linesOf(t, d.Bytes())[0]
		if strings.TrimSpace(got.Outcome+" "+got.Reason) != c.want || got.Kind != "write" {
			t.Errorf("%s, want %s", got.text, c.want)
		}
	}
	d.Reset()
	for range fault.LogLines + 5 {
		l.Refused(Entry{Fault: &fault.Error{Kind: fault.CallerNotAllowed}})
	}
	l.Refused(Entry{Fault: &fault.Error{Kind: fault.NotFound}})
	l.Read(Entry{})
	if all := linesOf(t, d.Bytes()); len(all) != fault.LogLines+1 || all[0].Outcome != "refused" || all[0].Kind != "refusal" {
		t.Errorf("%d lines", len(all))
	}
}

// TestNoSecret of those that callers put into the wrong place.
func TestNoSecret(t *testing.T) {
	t.Parallel()
	const key = "0123456789abcdef0123456789ABCDEF01234567"
	const token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl"
	var d disk
	d.room = 1 << 30
	l := newLog(t, Config{To: &d, Reads: true})
	redact := func(text string) string { return strings.ReplaceAll(text, "hunter2hunter2", "[redacted]") }
	for _, secret := range []string{key, token, "hunter2hunter2", "eyJhbGciOiJSUzI1NiJ9%2EeyJzdWIiOiJtZSJ9%2Ec2lnbmF0dXJl"} {
		for _, place := range []string{secret, "/networks/" + secret + "/clients", "Bearer%20" + secret, "a-" + secret + "-b"} {
			for _, e := range []Entry{{Path: place}, {Key: place}, {Write: place}, {Group: place}} {
				e.Redact = redact
				l.Wrote(e)
				l.Read(e)
				e.Fault = &fault.Error{Kind: fault.NotFound, Detail: place, Messages: []string{place}, Cause: errors.New(place)}
				l.Refused(e)
				l.Wrote(e)
			}
		}
	}
	for _, secret := range []string{key, token, "c2lnbmF0dXJl", "eyJzdWIi", "hunter2"} {
		if bytes.Contains(d.Bytes(), []byte(secret)) {
			t.Errorf("%s stands there", secret)
		}
	}
	if !bytes.Contains(d.Bytes(), []byte("/networks/[redacted]/clients")) {
		t.Error("the rest of the path is gone, too")
	}
	d.Reset()
	l.Wrote(Entry{Path: "/networks/L_646829496481105433/devices", Key: "5f2b1c1e-8d0e-4a55-9e0b-0123456789ab"})
	l.Wrote(Entry{Path: strings.Repeat("/a", 9000), Key: strings.Repeat("k", 9000)})
	all := linesOf(t, d.Bytes())
	if all[0].Path != "/networks/L_646829496481105433/devices" || all[0].Key != "5f2b1c1e-8d0e-4a55-9e0b-0123456789ab" || len(all[1].text) > 2000 {
		t.Errorf("%s %s", all[0].text, all[1].text)
	}
}

// full is an entry with every field.
func full() Entry {
	e := Entry{Began: time.Now(), Redact: func(s string) string { return s }, Fault: &fault.Error{Kind: fault.NotFound, HTTPStatus: 404, RequestID: "r"}, Attempts: 2}
	v := reflect.ValueOf(&e).Elem()
	for i := range v.NumField() {
		if v.Field(i).Kind() == reflect.String {
			v.Field(i).SetString("x")
		}
	}
	return e
}

// TestEveryKeyIsDocumented in docs/audit.md, and no other one is.
func TestEveryKeyIsDocumented(t *testing.T) {
	t.Parallel()
	var d disk
	d.room = 1 << 30
	l := newLog(t, Config{To: &d})
	l.line(kindRefusal, full(), 1)
	var keys map[string]any
	if err := json.Unmarshal(d.Bytes(), &keys); err != nil {
		t.Fatal(err)
	}
	text := string(read(t, "../../docs/audit.md"))
	documented := make(map[string]bool)
	for row := range strings.Lines(text) {
		if !strings.HasPrefix(row, "| `") {
			continue
		}
		names, _, _ := strings.Cut(row[1:], "|")
		for i, name := range strings.Split(names, "`") {
			documented[name] = i%2 == 1 || documented[name]
		}
	}
	for key := range keys {
		if !documented[key] {
			t.Errorf("%s is not documented", key)
		}
		delete(documented, key)
	}
	for key, is := range documented {
		if is {
			t.Errorf("%s is documented, and never written", key)
		}
	}
}

func BenchmarkLine(b *testing.B) {
	l, err := New(Config{To: NewFile(filepath.Join(b.TempDir(), "audit.jsonl"))})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	e := Entry{
		Began: time.Now(), Caller: "spiffe://mesh.example/ns/shop/sa/orders", Face: GRPC, Operation: "updateNetwork", Method: "PUT",
		Organization: "2930418", Path: "/networks/L_646829496481105433", Key: "5f2b1c1e-8d0e-4a55-9e0b-0123456789ab", Status: 200, Attempts: 1, RequestID: "f3c1aa",
	}
	b.ReportAllocs()
	for b.Loop() {
		l.Wrote(e)
	}
}

// BenchmarkNone is what a broker without an audit pays.
func BenchmarkNone(b *testing.B) {
	var l *Log
	for b.Loop() {
		l.Wrote(Entry{Caller: "a"})
	}
}
