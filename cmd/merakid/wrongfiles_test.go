package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhatIsWrongWithAFileIsSaid: by the key of the configuration, with the name of the
// file, and what to put there; of what it holds nothing is told.
func TestWhatIsWrongWithAFileIsSaid(t *testing.T) {
	t.Parallel()
	const secret = "hunter2hunter2"
	for _, c := range []struct{ name, configuration, holds, says string }{
		{"no Dashboard key", "credentials: {keys: [{name: main, file: FILE}]}", "\n", "credentials.keys[0].file: FILE: is empty: put the key main there"},
		{"a mark alone", "credentials: {keys: [{name: main, file: FILE}]}", "\ufeff\n", "credentials.keys[0].file: FILE: holds no key: put the Dashboard key there, alone on its line"},
		{"more than the key", "credentials: {keys: [{name: main, file: FILE}]}", "key: " + secret, "credentials.keys[0].file: FILE: line 1 holds white space"},
		{"no password", "sandbox: true\nstore: {addresses: ['127.0.0.1:1'], replicas: 1, password_file: FILE}", " ", "store.password_file: FILE: is empty: put the store password there"},
		{"no authorities", "sandbox: true\nstore: {addresses: ['127.0.0.1:1'], replicas: 1, tls: true, ca_file: FILE}", secret, "store.ca_file: FILE: holds no certificate in PEM"},
		{"no tokens", "sandbox: true\nidentity: {static_tokens: {file: FILE}}\npolicy: [{name: a, callers: ['*'], operations: [{section: devices, verbs: [read]}], organizations: ['*']}]", "\t", "identity.static_tokens.file: FILE: is empty: put the static tokens there"},
		{"a page for token keys", "sandbox: true\nidentity: {token: {issuer: me, audiences: [x], keys_file: FILE}}\npolicy: [{name: a, callers: ['*'], operations: [{section: devices, verbs: [read]}], organizations: ['*']}]", "<html>" + secret, "identity.token.keys_file: FILE: is a page in HTML or XML"},
		{"no certificate", "sandbox: true\ntls: {certificate_file: FILE, key_file: FILE}", " ", "tls: FILE: is empty: put the tls certificates there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file, configuration := filepath.Join(dir, "file"), filepath.Join(dir, "merakid.yaml")
			for path, text := range map[string]string{file: c.holds, configuration: strings.ReplaceAll(c.configuration, "FILE", file)} {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := do(t.Context(), func() {}, []string{"-check", "-config", configuration}, new(bytes.Buffer), new(bytes.Buffer))
			if err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(c.says, "FILE", file)) || strings.Contains(err.Error(), "\n") {
				t.Errorf("says\n%v, want one line with\n%s", err, c.says)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("what the file holds is told: %v", err)
			}
		})
	}
}
