package secretfile

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// holder remembers what it was given last, and refuses contents that say so.
type holder struct {
	mu   sync.Mutex
	text string
}

func (h *holder) load(contents [][]byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	text := string(bytes.Join(contents, []byte("|")))
	if strings.Contains(text, "bad") {
		return errors.New("is bad")
	}
	h.text = text
	return nil
}

func (h *holder) get() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// kubernetes publishes text the way a secret volume does: a directory for each
// version, a symlink "..data" that is swapped, and the file as a link through it.
func kubernetes(t *testing.T, dir, version, text string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(filepath.Join(dir, version), 0o700))
	write(t, filepath.Join(dir, version, "key"), text)
	must(os.Symlink(version, filepath.Join(dir, "..data_tmp")))
	must(os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	if _, err := os.Lstat(filepath.Join(dir, "key")); errors.Is(err, os.ErrNotExist) {
		must(os.Symlink(filepath.Join("..data", "key"), filepath.Join(dir, "key")))
	}
}

// watcher gives one that counts, inside a bubble of synctest.
func watcher(t *testing.T) (*Watcher, map[Outcome]int, *bytes.Buffer) {
	t.Helper()
	log, counts := new(bytes.Buffer), make(map[Outcome]int)
	w := New(Config{
		Log:     slog.New(slog.NewTextHandler(log, nil)),
		Observe: func(_ string, o Outcome) { counts[o]++ },
	})
	t.Cleanup(w.Close)
	return w, counts, log
}

// aLook lets the time of one look pass, settling included.
func aLook() {
	<-time.After(DefaultInterval + 2*settle) // the bubble's time, which costs none
	synctest.Wait()
}

func TestChangesAreTaken(t *testing.T) {
	t.Parallel()
	changes := []struct {
		name  string
		write func(t *testing.T, dir, text string)
	}{
		{"in place", func(t *testing.T, dir, text string) { write(t, filepath.Join(dir, "key"), text) }},
		{"by rename", func(t *testing.T, dir, text string) {
			write(t, filepath.Join(dir, "new"), text)
			if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "key")); err != nil {
				t.Fatal(err)
			}
		}},
		{"as Kubernetes does", func(t *testing.T, dir, text string) { kubernetes(t, dir, "..v"+text, text) }},
	}
	for _, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c.write(t, dir, "first")
			synctest.Test(t, func(t *testing.T) {
				w, counts, _ := watcher(t)
				h := new(holder)
				if err := w.Add(Group{Name: "key", Paths: []string{filepath.Join(dir, "key")}, Load: h.load}); err != nil {
					t.Fatal(err)
				}
				for _, text := range []string{"other", "third"} {
					c.write(t, dir, text)
					aLook()
					if got := h.get(); got != text {
						t.Fatalf("holds %q, want %q", got, text)
					}
				}
				aLook()
				if counts[Loaded] != 2 || len(counts) != 1 {
					t.Errorf("outcomes %v, want two loads", counts)
				}
			})
		})
	}
}

// The same size and the same modification time do not hide a change.
func TestChangeWithinOneTick(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	write(t, path, "aaaa")
	at := time.Unix(1_700_000_000, 0)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w, _, _ := watcher(t)
		h := new(holder)
		if err := w.Add(Group{Paths: []string{path}, Load: h.load}); err != nil {
			t.Fatal(err)
		}
		write(t, path, "bbbb")
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		aLook()
		if got := h.get(); got != "bbbb" {
			t.Errorf("holds %q", got)
		}
	})
}

func TestWhatIsUnusableChangesNothing(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		spoil func(t *testing.T, path string)
		want  Outcome
		says  string
	}{
		{"empty", func(t *testing.T, p string) { write(t, p, " \n\t") }, Unreadable, "is empty"},
		{"gone", func(t *testing.T, p string) { _ = os.Remove(p) }, Unreadable, "no such file"},
		{"directory", func(t *testing.T, p string) { _ = os.Remove(p); _ = os.Mkdir(p, 0o700) }, Unreadable, "is not a file"},
		{"too large", func(t *testing.T, p string) { write(t, p, strings.Repeat("x", maxBytes+1)) }, Unreadable, "is larger than"},
		{"refused", func(t *testing.T, p string) { write(t, p, "bad") }, Refused, "is bad"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "key")
			write(t, path, "good")
			synctest.Test(t, func(t *testing.T) {
				w, counts, log := watcher(t)
				h := new(holder)
				if err := w.Add(Group{Name: "key", Paths: []string{path}, Load: h.load}); err != nil {
					t.Fatal(err)
				}
				c.spoil(t, path)
				aLook()
				aLook()
				if got := h.get(); got != "good" {
					t.Errorf("holds %q, want what was there before", got)
				}
				if counts[c.want] < 2 || len(counts) != 1 {
					t.Errorf("outcomes %v, want %v at each look", counts, c.want)
				}
				if n := strings.Count(log.String(), c.says); n != 1 {
					t.Errorf("%d lines say %q, want 1:\n%s", n, c.says, log)
				}
				_ = os.Remove(path)
				write(t, path, "better")
				aLook()
				if got := h.get(); got != "better" {
					t.Errorf("holds %q after the repair", got)
				}
			})
		})
	}
}

func TestHalfAFileIsNotTaken(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	write(t, path, "first")
	synctest.Test(t, func(t *testing.T) {
		w, counts, _ := watcher(t)
		h := new(holder)
		if err := w.Add(Group{Paths: []string{path}, Load: h.load}); err != nil {
			t.Fatal(err)
		}
		write(t, path, "sec")
		w.Poke()
		<-time.After(settle / 2) // seen once, not settled
		write(t, path, "second")
		aLook()
		if got := h.get(); got != "second" || counts[Loaded] != 1 {
			t.Errorf("holds %q after %d loads, want the whole text at once", got, counts[Loaded])
		}
	})
}

func TestPokeComesBeforeTheInterval(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	write(t, path, "first")
	synctest.Test(t, func(t *testing.T) {
		w, _, _ := watcher(t)
		h := new(holder)
		if err := w.Add(Group{Paths: []string{path}, Load: h.load}); err != nil {
			t.Fatal(err)
		}
		write(t, path, "second")
		for range 5 {
			w.Poke()
		}
		<-time.After(2 * settle)
		synctest.Wait()
		if got := h.get(); got != "second" {
			t.Errorf("holds %q", got)
		}
	})
}

func TestGroupIsTakenTogether(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	write(t, a, "1")
	write(t, b, "23")
	synctest.Test(t, func(t *testing.T) {
		w, _, _ := watcher(t)
		h := new(holder)
		if err := w.Add(Group{Paths: []string{a, b}, Load: h.load}); err != nil {
			t.Fatal(err)
		}
		write(t, a, "12") // the same bytes in all, moved over
		write(t, b, "3")
		aLook()
		if got := h.get(); got != "12|3" {
			t.Errorf("holds %q", got)
		}
	})
}

func TestAddRefusesWhatCannotBeUsed(t *testing.T) {
	t.Parallel()
	w := New(Config{})
	defer w.Close()
	path := filepath.Join(t.TempDir(), "key")
	load := new(holder).load
	if err := w.Add(Group{Paths: []string{path}, Load: load}); err == nil || strings.Count(err.Error(), path) != 1 {
		t.Errorf("a missing file: %v, want an error that names it once", err)
	}
	write(t, path, "bad")
	if err := w.Add(Group{Paths: []string{path}, Load: load}); err == nil {
		t.Error("bad contents were taken")
	}
}
