package dashboard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"
)

// However a key is printed, alone or inside of something, the secret is not there.
func TestKeyNeverPrints(t *testing.T) {
	t.Parallel()
	k := NewKey(" " + secret + "\n")
	type exported struct{ Key Key }
	type hidden struct {
		name string
		key  Key
	}
	var b bytes.Buffer
	for _, v := range []any{k, &k, exported{k}, &exported{k}, hidden{"x", k}, &hidden{"x", k}, []Key{k}, map[string]Key{"a": k}, Request{Key: k}, &Request{Key: k}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T"} {
			fmt.Fprintf(&b, verb+"\n", v)
		}
		_ = json.NewEncoder(&b).Encode(v)
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
	}
	out := b.String()
	for _, s := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), "Bearer"} {
		if strings.Contains(out, s) {
			t.Errorf("the output shows the secret as %.12s...", s)
		}
	}
	if !strings.Contains(out, redacted) {
		t.Error("the output does not say [redacted]")
	}
}

func TestKeyID(t *testing.T) {
	t.Parallel()
	a, b := NewKey(secret), NewKey(secret+"0")
	if a.ID() != NewKey("\t"+secret+"\r\n").ID() {
		t.Error("white space around a key changes its id")
	}
	if a.ID() == b.ID() || len(a.ID()) != 16 || strings.Contains(secret, a.ID()) {
		t.Errorf("ids %q and %q", a.ID(), b.ID())
	}
	for _, empty := range []Key{{}, NewKey(""), NewKey(" \n")} {
		if !empty.Zero() || empty.ID() != "" || empty.String() != redacted {
			t.Error("an empty secret is not the zero key")
		}
	}
	if a.Zero() {
		t.Error("a key is zero")
	}
}

// TestDefaults are those that the fields' comments name.
func TestDefaults(t *testing.T) {
	t.Parallel()
	var c Config
	c.defaults()
	if want := (Config{
		BaseURL: "https://api.meraki.com/api/v1", UserAgent: "MerakiBroker/1.0 MerakiBroker",
		Timeout: 60 * time.Second, DialTimeout: 10 * time.Second, ErrorBodyTimeout: 5 * time.Second, IdleTimeout: 50 * time.Second,
		MaxBody: 67108864, MaxErrorBody: 65536,
	}); !reflect.DeepEqual(c, want) {
		t.Errorf("%+v\n%+v", c, want)
	}
}
