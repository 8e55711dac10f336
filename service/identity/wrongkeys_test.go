package identity

import (
	"bytes"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/service/credential/secretfile"
)

// TestWhatIsWrongWithAnAddressOfKeysIsSaid: one line, with the address, what came from
// there, and what to do.
func TestWhatIsWrongWithAnAddressOfKeysIsSaid(t *testing.T) {
	t.Parallel()
	const page = "<!DOCTYPE html><html><body>Sign in, -----BEGIN here</body></html>"
	for _, c := range []struct {
		name string
		well *well
		says []string
	}{
		{"a page", &well{status: 200, text: page}, []string{"the answer is a page in HTML", "has to be the issuer's jwks_uri"}},
		{"a page after a mark", &well{status: 200, text: "\ufeff  <html></html>"}, []string{"the answer is a page in HTML"}},
		{"nothing", &well{status: 200}, []string{"the answer is empty", "jwks_uri"}},
		{"text", &well{status: 200, text: "ok"}, []string{"is neither a JSON Web Key Set nor keys in PEM", "jwks_uri"}},
		{"JSON that is none", &well{status: 200, text: "{"}, []string{"is not a JSON Web Key Set", "jwks_uri"}},
		{"the issuer's configuration", &well{status: 200, text: `{"issuer": "x", "jwks_uri": "https://issuer.example/the-keys"}`},
			[]string{"is the issuer's configuration; the keys are where it says", "https://issuer.example/the-keys"}},
		{"no keys", &well{status: 200, text: `{"keys": []}`}, []string{"holds no public key that can check a token", "jwks_uri"}},
		{"a redirect", &well{status: 302}, []string{"redirect (302)", "https://elsewhere.example", "not followed"}},
		{"another status", &well{status: 404, text: page}, []string{"404 Not Found", "jwks_uri"}},
		{"too much", &well{status: 200, text: strings.Repeat("x", maxKeysBytes+1)}, []string{"a set of keys has a few thousand"}},
		{"silence", &well{delay: time.Hour}, []string{"no answer within 5s", "a firewall, a network policy"}},
		{"an unknown authority", &well{err: x509.UnknownAuthorityError{}}, []string{"an authority that this machine does not trust", "keys_file"}},
		{"another name", &well{err: x509.HostnameError{Certificate: new(x509.Certificate), Host: "issuer.example"}}, []string{"for another name"}},
		{"no such name", &well{err: &net.DNSError{Err: "no such host", Name: "issuer.example"}}, []string{"name cannot be found"}},
		{"no way there", &well{err: errors.New("connection refused")}, []string{"does not answer; check identity.token.keys_url"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				s := keySource{log: slog.New(slog.NewTextHandler(&log, nil))}
				s.fetchFrom(issuerName+"/keys", &http.Client{Transport: c.well}, func(error) {})
				<-time.After(keysTimeout + time.Second)
				s.close()
				for _, want := range append(c.says, "url="+issuerName+"/keys", "every token is refused, and this replica is not ready") {
					if !strings.Contains(log.String(), want) {
						t.Errorf("says\n%s, want %q in it", &log, want)
					}
				}
				if first, _, _ := strings.Cut(log.String(), "\n"); strings.Contains(first, "PEM block") || strings.Contains(first, "Sign in") || strings.Count(first, issuerName+"/keys") > 1 {
					t.Errorf("says too much:\n%s", first)
				}
			})
		})
	}
}

// TestWhatIsWrongWithAFileOfKeysIsSaid with the file's name.
func TestWhatIsWrongWithAFileOfKeysIsSaid(t *testing.T) {
	t.Parallel()
	files := secretfile.New(secretfile.Config{Log: quiet()})
	defer files.Close()
	for text, want := range map[string]string{
		"":       ": is empty: put the token keys there",
		" \n":    ": is empty: put the token keys there",
		"<html>": ": is a page in HTML or XML, and no JSON Web Key Set",
		"secret": ": is neither a JSON Web Key Set nor keys in PEM",
	} {
		path := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := NewResolver(Config{Token: &TokenConfig{KeysFile: path, Issuer: issuerName, Audiences: []string{audienceName}}}, Wiring{Files: files, Log: quiet()})
		if err == nil || err.Error() != "token.keys_file: "+path+want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
