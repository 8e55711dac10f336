package credential

import (
	"errors"
	"io"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Keys of the form that the Dashboard gives out; none of them opens anything.
const (
	keyA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	keyB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	keyC = "cccccccccccccccccccccccccccccccccccccccc"
)

func TestParseKeys(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, contents string
		want           int    // keys
		says           string // in the error
	}{
		{"one", keyA, 1, ""},
		{"newline at the end", keyA + "\n", 1, ""},
		{"Windows", "\ufeff" + keyA + "\r\n" + keyB + "\r\n", 2, ""},
		{"two, with air", "\n  " + keyA + "\t\n\n" + keyB + "\n", 2, ""},
		{"the same twice", keyA + "\n" + keyA + "\n", 1, ""},
		{"token in base64", "abcdefghij+/==", 1, ""},
		{"three", keyA + "\n" + keyB + "\n" + keyC, 0, "more than 2"},
		{"nothing", " \n", 0, "holds no key"},
		{"space within", keyA[:20] + " " + keyA[20:], 0, "line 1 holds white space"},
		{"control character", keyA + "\n" + keyB + "\x00", 0, "line 2 holds white space, control"},
		{"letters", "schlüsselschlüssel", 0, "letters that no key has"},
		{"a shell's line", "KEY=" + keyA, 0, "not the key alone"},
		{"JSON", `{"key":"` + keyA + `"}`, 0, "not the key alone"},
		{"short", "abc", 0, "length of a key"},
		{"long", strings.Repeat("x", maxKeyBytes+1), 0, "length of a key"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			keys, err := parseKeys([]byte(c.contents))
			if len(keys) != c.want {
				t.Errorf("%d keys, want %d (error %v)", len(keys), c.want, err)
			}
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
			if err != nil && strings.Contains(err.Error(), keyA[:20]) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}

// What is read of a key can stand in an HTTP header, and no error shows what a
// file holds.
func FuzzParseKeys(f *testing.F) {
	for _, s := range []string{keyA, keyA + "\n" + keyB, "\ufeff" + keyA + "\r\n", "a b", "\x00", "KEY=" + keyA} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, contents []byte) {
		keys, err := parseKeys(contents)
		if (err == nil) == (len(keys) == 0) {
			t.Fatalf("%d keys and error %v", len(keys), err)
		}
		if len(keys) > maxKeys {
			t.Fatalf("%d keys", len(keys))
		}
		for _, k := range keys {
			if k.Zero() {
				t.Fatal("a zero key")
			}
		}
		if err != nil {
			for line := range strings.Lines(string(contents)) {
				if line = strings.TrimSpace(line); len(line) > 20 && strings.Contains(err.Error(), line) {
					t.Fatalf("the error shows the file: %v", err)
				}
			}
		}
	})
}

func TestConfig(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, text, says string }{
		{"good", `
keys:
- {name: main, file: /run/secrets/key, organizations: ["1", "2"], callers: ["spiffe://mesh.example/*"]}
- {name: rest, env: MERAKI_DASHBOARD_API_KEY}
own_key_callers: ["spiffe://mesh.example/ns/admin/*"]`, ""},
		{"own keys alone", `own_key_callers: ["*"]`, ""},
		{"nothing", ``, "keys: there is none"},
		{"unknown key", `{keys: [{name: a, file: f, organisations: ["1"]}]}`, "organisations not found"},
		{"no name", `{keys: [{file: f}]}`, "keys[0].name: is required"},
		{"same name", `{keys: [{name: a, file: f}, {name: a, file: g}]}`, "keys[1].name"},
		{"file and env", `{keys: [{name: a, file: f, env: E}]}`, "keys[0].file: give either"},
		{"neither", `{keys: [{name: a}]}`, "keys[0].file: give either"},
		{"key for a path", `{keys: [{name: a, file: ` + keyA + `}]}`, "not the key itself"},
		{"key for a variable", `{keys: [{name: a, env: ` + keyA + `}]}`, "not the key itself"},
		{"organization", `{keys: [{name: a, file: f, organizations: ["1*"]}]}`, "keys[0].organizations[0]"},
		{"caller", `{keys: [{name: a, file: f, callers: ["a*b"]}]}`, "keys[0].callers[0]"},
		{"own", `{keys: [{name: a, file: f}], own_key_callers: [""]}`, "own_key_callers[0]"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var config Config
			d := yaml.NewDecoder(strings.NewReader(c.text))
			d.KnownFields(true) // as the daemon does
			err := d.Decode(&config)
			if err == nil || errors.Is(err, io.EOF) {
				err = config.Validate()
			}
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
			if err != nil && strings.Contains(err.Error(), keyA) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}
