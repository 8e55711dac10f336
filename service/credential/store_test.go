package credential

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/merakibroker/merakibroker/service/credential/secretfile"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// id is the fingerprint of a key.
func id(secret string) string { return dashboard.NewKey(secret).ID() }

// environment with three variables.
func environ(name string) (string, bool) {
	v, ok := map[string]string{"A": keyA, "B": keyB, "C": keyC, "BAD": keyA + " " + keyB}[name]
	return v, ok
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func open(t *testing.T, c Config) *Store {
	t.Helper()
	files := secretfile.New(secretfile.Config{Log: quiet()})
	t.Cleanup(files.Close)
	s, err := NewStore(c, files, environ)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPick(t *testing.T) {
	t.Parallel()
	s := open(t, Config{Keys: []KeyConfig{
		{Name: "shop", Env: "A", Organizations: []string{"1", "2"}, Callers: []string{"spiffe://mesh.example/ns/shop/*"}},
		{Name: "two", Env: "B", Organizations: []string{"2"}},
		{Name: "audit", Env: "C", Organizations: []string{"*"}, Callers: []string{"audit"}},
	}})
	cases := []struct{ caller, organization, want string }{
		{"spiffe://mesh.example/ns/shop/sa/x", "1", keyA},
		{"spiffe://mesh.example/ns/shop/sa/x", "2", keyA},
		{"spiffe://mesh.example/ns/shop/sa/x", "", keyA},
		{"spiffe://mesh.example/ns/shop/sa/x", "3", ""},
		{"spiffe://mesh.example/ns/shopping/sa/x", "1", ""},
		{"spiffe://mesh.example/ns/shopping/sa/x", "2", keyB},
		{"anonymous", "", keyB},
		{"audit", "1", keyC},
		{"audit", "2", keyB},
		{"audit2", "1", ""},
	}
	for _, c := range cases {
		k, err := s.Pick(c.caller, c.organization)
		if want := id(c.want); k.ID() != want {
			t.Errorf("Pick(%q, %q) gives %q, want %q", c.caller, c.organization, k.ID(), want)
		}
		if refused := c.want == ""; refused != errors.Is(err, &fault.Error{Kind: fault.CallerNotAllowed}) {
			t.Errorf("Pick(%q, %q): %v", c.caller, c.organization, err)
		}
	}
	if got := s.Candidates("audit"); len(got) != 2 || got[0].ID() != id(keyB) || got[1].ID() != id(keyC) {
		t.Errorf("candidates for audit: %d", len(got))
	}
	if got := fmt.Sprintf("%+v %v", s.Candidates("audit"), s.States()); strings.Contains(got, keyB) {
		t.Errorf("a key is printed: %s", got)
	}
}

// TestRejectedKeyIsReplacedWithinItsEntry: a key that stands in two entries is
// replaced by one of the entry that it was picked from, which serves the caller and
// the organization, and never by the other one's.
func TestRejectedKeyIsReplacedWithinItsEntry(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	writeFile(t, path, keyA+"\n"+keyB)
	for _, other := range []KeyConfig{
		{Name: "other", File: path, Callers: []string{"billing"}},
		{Name: "other", File: path, Organizations: []string{"2"}},
	} {
		s := open(t, Config{Keys: []KeyConfig{{Name: "shop", Env: "A", Callers: []string{"shop"}, Organizations: []string{"1"}}, other}})
		k, err := s.Pick("shop", "1")
		if err != nil || k.ID() != id(keyA) || k.Entry() != "shop" {
			t.Fatalf("%s, %v", k.Entry(), err)
		}
		if instead, ok := s.Rejected(k); ok {
			t.Errorf("beside %+v: the caller shop gets the key of the entry %s", other, instead.Entry())
		}
		theirs, err := s.Pick("billing", "2")
		if err != nil || theirs.ID() != id(keyB) || theirs.Entry() != "other" {
			t.Errorf("beside %+v: the rejected key is still the other entry's first, %v", other, err)
		}
		if theirs.Partition() == k.Partition() {
			t.Errorf("beside %+v: answers are shared between entries", other)
		}
	}
}

// TestKeyForTheBrokerItself: lists that no caller has asked for are read with a key
// that serves the organization, whoever its callers are.
func TestKeyForTheBrokerItself(t *testing.T) {
	t.Parallel()
	s := open(t, Config{Keys: []KeyConfig{
		{Name: "one", Env: "A", Organizations: []string{"1"}, Callers: []string{"spiffe://mesh.example/ns/shop/*"}},
		{Name: "two", Env: "B", Organizations: []string{"2"}, Callers: []string{"audit"}},
	}})
	for organization, want := range map[string]string{"1": keyA, "2": keyB, "3": ""} {
		if k, ok := s.For(organization); k.ID() != id(want) || ok != (want != "") {
			t.Errorf("organization %s: %s, %t", organization, k.Entry(), ok)
		}
	}
	if all := s.All(); len(all) != 2 {
		t.Errorf("%d keys", len(all))
	}
	if _, err := s.Pick("audit", "2", "1"); err == nil {
		t.Error("a key serves an organization that its entry does not name")
	}
}

func TestNewStoreSaysWhichKeyIsWrong(t *testing.T) {
	t.Parallel()
	files := secretfile.New(secretfile.Config{Log: quiet()})
	defer files.Close()
	path := filepath.Join(t.TempDir(), "key")
	writeFile(t, path, keyA+" "+keyB)
	cases := []struct {
		key  KeyConfig
		says string
	}{
		{KeyConfig{Name: "k", Env: "ABSENT"}, "keys[0].env: the environment has no ABSENT"},
		{KeyConfig{Name: "k", Env: "BAD"}, "keys[0].env: BAD: line 1 holds white space"},
		{KeyConfig{Name: "k", File: path}, "keys[0].file: " + path + ": line 1 holds white space"},
		{KeyConfig{Name: "k", File: path + "2"}, "keys[0].file: " + path + "2: no such file"},
	}
	for _, c := range cases {
		_, err := NewStore(Config{Keys: []KeyConfig{c.key}}, files, environ)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), keyA) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line that says %q", err, c.says)
		}
	}
}

// rotation is a store with one key in a file, inside a bubble of synctest.
type rotation struct {
	*Store
	t    *testing.T
	path string
	log  *bytes.Buffer
}

func rotate(t *testing.T, contents string, test func(r *rotation)) {
	t.Helper()
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	writeFile(t, path, contents)
	synctest.Test(t, func(t *testing.T) {
		log := new(bytes.Buffer)
		files := secretfile.New(secretfile.Config{Log: slog.New(slog.NewTextHandler(log, nil))})
		defer files.Close()
		s, err := NewStore(Config{Keys: []KeyConfig{{Name: "main", File: path}}}, files, nil)
		if err != nil {
			t.Fatal(err)
		}
		test(&rotation{Store: s, t: t, path: path, log: log})
	})
}

// pass lets time pass in the bubble.
func (r *rotation) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// wants checks which key is in use.
func (r *rotation) wants(when, secret string) {
	r.t.Helper()
	k, err := r.Pick("anyone", "1")
	if err != nil || k.ID() != id(secret) {
		r.t.Errorf("%s: not the key wanted (error %v)", when, err)
	}
}

// rejects tells the store about a 401, and checks what it offers instead.
func (r *rotation) rejects(secret, instead string) {
	r.t.Helper()
	k, ok := r.Rejected(dashboard.NewKey(secret).Of("main"))
	if ok != (instead != "") || k.ID() != id(instead) {
		r.t.Errorf("instead of the rejected key: not what was wanted (another: %v)", ok)
	}
}

func TestTwoKeysDuringAChange(t *testing.T) {
	rotate(t, keyA+"\n"+keyB+"\n", func(r *rotation) {
		r.wants("at first", keyA)
		r.rejects(keyA, keyB)
		r.wants("while the first is rejected", keyB)
		r.pass(holdRejected + time.Second)
		r.wants("after a while the first has another chance", keyA)
		r.rejects(keyA, keyB)
		r.rejects(keyB, "")
		r.wants("when both are rejected", keyA)
		if st := r.States(); !st[0].Rejected {
			t.Errorf("states %v", st)
		}
	})
}

func TestNewKeyIsNotKnownToTheDashboardYet(t *testing.T) {
	rotate(t, keyA, func(r *rotation) {
		writeFile(t, r.path, keyB)
		r.pass(secretfile.DefaultInterval + time.Second)
		r.wants("after the change", keyB)
		r.rejects(keyB, keyA) // the one replaced is still at hand
		r.wants("meanwhile", keyA)
		r.pass(holdRejected)
		r.wants("then", keyB)
		r.pass(keepReplaced)
		r.rejects(keyB, "")
		r.wants("the old one is done with", keyB)
	})
}

func TestCallOnItsWayWithTheOldKey(t *testing.T) {
	rotate(t, keyA, func(r *rotation) {
		writeFile(t, r.path, keyB)
		r.rejects(keyA, "") // not re-read yet: nothing to offer, but it looks at once
		r.pass(time.Second)
		r.wants("a moment later", keyB)
		r.rejects(keyA, keyB)
	})
}

func TestKeyOfNobody(t *testing.T) {
	rotate(t, keyA, func(r *rotation) {
		r.rejects(keyC, "")
		r.wants("still", keyA)
	})
}

func TestSpoiledFileKeepsTheKey(t *testing.T) {
	for name, contents := range map[string]string{"empty": "", "two words": keyB + " x", "three keys": keyA + "\n" + keyB + "\n" + keyC} {
		t.Run(name, func(t *testing.T) {
			rotate(t, keyA, func(r *rotation) {
				writeFile(t, r.path, contents)
				r.pass(2 * secretfile.DefaultInterval)
				r.wants("with a spoiled file", keyA)
				if n := strings.Count(r.log.String(), "level=ERROR"); n != 1 || strings.Contains(r.log.String(), keyB) {
					t.Errorf("%d errors, want 1 without the key in it:\n%s", n, r.log)
				}
				writeFile(t, r.path, keyC)
				r.pass(2 * secretfile.DefaultInterval)
				r.wants("repaired", keyC)
			})
		})
	}
}

// Picking goes on while the file changes: every call gets a key, one of the two.
func TestRotationUnderLoad(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	writeFile(t, path, keyA)
	loaded := make(chan secretfile.Outcome, 1)
	files := secretfile.New(secretfile.Config{Interval: time.Hour, Log: quiet(), Observe: func(_ string, o secretfile.Outcome) { loaded <- o }})
	defer files.Close()
	s, err := NewStore(Config{Keys: []KeyConfig{{Name: "main", File: path}}}, files, nil)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				k, err := s.Pick("anyone", "1")
				if err != nil || k.ID() != id(keyA) && k.ID() != id(keyB) {
					t.Errorf("no key (error %v)", err)
					return
				}
			}
		})
	}
	for _, secret := range []string{keyB, keyA, keyB} {
		next := filepath.Join(filepath.Dir(path), "next")
		writeFile(t, next, secret)
		if err := os.Rename(next, path); err != nil {
			t.Fatal(err)
		}
		files.Poke()
		if o := <-loaded; o != secretfile.Loaded {
			t.Errorf("outcome %v", o)
		}
		if k, _ := s.Pick("anyone", "1"); k.ID() != id(secret) {
			t.Error("the new key is not in use")
		}
	}
	close(stop)
	wg.Wait()
}

func TestOwnKey(t *testing.T) {
	t.Parallel()
	s := open(t, Config{OwnKey: []string{"spiffe://mesh.example/ns/admin/*"}})
	if k, err := s.Own("spiffe://mesh.example/ns/admin/sa/x", "meraki-api-key", keyA); err != nil || k.ID() != id(keyA) {
		t.Errorf("an allowed caller: %v", err)
	}
	_, err := s.Own("spiffe://mesh.example/ns/shop/sa/x", "meraki-api-key", keyA)
	if f := fault.As(err); f == nil || f.Kind != fault.CallerNotAllowed || strings.Contains(f.Error(), keyA) {
		t.Errorf("a caller that may not: %v", err)
	}
	_, err = s.Own("spiffe://mesh.example/ns/admin/sa/x", "meraki-api-key", keyA+" "+keyB)
	if f := fault.As(err); f == nil || f.Kind != fault.BadRequest || f.Field != "meraki-api-key" || strings.Contains(f.Error(), keyA) {
		t.Errorf("what is no key: %v", err)
	}
	if _, err := s.Pick("spiffe://mesh.example/ns/admin/sa/x", ""); fault.As(err) == nil {
		t.Errorf("a store without keys gave one: %v", err)
	}
}
