package identity

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// A well is an issuer's address: it answers with what it holds.
type well struct {
	mu      sync.Mutex
	status  int
	text    string
	err     error
	delay   time.Duration
	fetches int
}

func (w *well) RoundTrip(r *http.Request) (*http.Response, error) {
	// Not held while it waits: the bubble's clock stands still for whoever waits
	// for a lock.
	w.mu.Lock()
	w.fetches++
	status, text, err, delay := w.status, w.text, w.err, w.delay
	w.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Request: r,
		Header: http.Header{"Location": {"https://elsewhere.example"}}, Body: io.NopCloser(strings.NewReader(text)),
	}, nil
}

func (w *well) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fetches
}

func (w *well) set(change func(*well)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w)
}

// withURL runs a test in a bubble, with a resolver that fetches from w.
func withURL(t *testing.T, w *well, test func(t *testing.T, r *Resolver)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, err := NewResolver(Config{Token: &TokenConfig{
			KeysURL: issuerName + "/keys", Issuer: issuerName, Audiences: []string{audienceName},
		}}, Wiring{Client: &http.Client{Transport: w}, Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		test(t, r)
	})
}

func TestKeysAreFetched(t *testing.T) {
	is := newIssuer(t)
	w := &well{status: 200, text: is.jwks(), delay: time.Second}
	withURL(t, w, func(t *testing.T, r *Resolver) {
		// The first call waits for the first fetch.
		check(t, r, bearer(is.sign("ES256", claims("orders"), nil)).context(), Caller{"orders", Token}, "")
		<-time.After(keysEvery + 2*time.Second)
		if n := w.count(); n != 2 {
			t.Errorf("%d fetches after one interval, want 2", n)
		}
	})
}

// A key that nobody has seen is fetched at once, once for all who wait, and not
// for every token that names one.
func TestNewKeyIsFetchedAtOnce(t *testing.T) {
	was, next := newIssuer(t), newIssuer(t)
	next.keys = map[string]crypto.Signer{"EdDSA": next.keys["EdDSA"]}
	delete(was.keys, "EdDSA")
	w := &well{status: 200, text: was.jwks()}
	withURL(t, w, func(t *testing.T, r *Resolver) {
		check(t, r, bearer(was.sign("ES256", claims("orders"), nil)).context(), Caller{"orders", Token}, "")
		<-time.After(keysAgain)
		w.set(func(w *well) { w.text, w.delay = next.jwks(), time.Second })
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				check(t, r, bearer(next.sign("EdDSA", claims("orders"), nil)).context(), Caller{"orders", Token}, "")
			})
		}
		wg.Wait()
		for range 10 {
			check(t, r, bearer(was.sign("ES256", claims("orders"), nil)).context(), Caller{}, "no key of the issuer's fits")
		}
		if n := w.count(); n != 2 {
			t.Errorf("%d fetches, want 2", n)
		}
	})
}

func TestIssuerDoesNotAnswer(t *testing.T) {
	is := newIssuer(t)
	w := &well{err: errors.New("no route")}
	withURL(t, w, func(t *testing.T, r *Resolver) {
		ctx := bearer(is.sign("ES256", claims("orders"), nil)).context()
		_, err := r.Resolve(ctx)
		if f := fault.As(err); f == nil || f.Kind != fault.Unreachable || f.Reason != "TOKEN_KEYS_UNAVAILABLE" || f.RetryAfter == 0 {
			t.Errorf("before there are keys: %v", err)
		}
		w.set(func(w *well) { w.err, w.status, w.text = nil, 200, is.jwks() })
		<-time.After(keysAgain + time.Second)
		check(t, r, ctx, Caller{"orders", Token}, "")
		// What goes wrong later leaves the keys as they are.
		for _, trouble := range []struct {
			name   string
			change func(*well)
		}{
			{"error", func(w *well) { w.err = errors.New("no route") }},
			{"503", func(w *well) { w.err, w.status = nil, 503 }},
			{"redirect", func(w *well) { w.status = 302 }},
			{"no keys", func(w *well) { w.status, w.text = 200, "{}" }},
			{"too much", func(w *well) { w.text = strings.Repeat(" ", maxKeysBytes+1) }},
			{"silence", func(w *well) { w.delay = time.Hour }},
		} {
			w.set(trouble.change)
			before := w.count()
			<-time.After(keysEvery + time.Second)
			if _, err := r.Resolve(ctx); err != nil || w.count() == before {
				t.Errorf("%s: %v after %d fetches", trouble.name, err, w.count()-before)
			}
		}
	})
}

// A caller that leaves does not wait for the issuer.
func TestCallerLeavesDuringAFetch(t *testing.T) {
	is := newIssuer(t)
	w := &well{delay: keysTimeout / 2, status: 200, text: is.jwks()}
	withURL(t, w, func(t *testing.T, r *Resolver) {
		ctx, cancel := context.WithTimeout(bearer(is.sign("ES256", claims("orders"), nil)).context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := r.Resolve(ctx); err == nil || time.Since(start) != time.Second {
			t.Errorf("error %v after %v", err, time.Since(start))
		}
	})
}

// TestOddKeysCostOnlyThemselves: beside a good key, one that is too weak, broken,
// secret or of a type to come is left out, warned of once, and counted; with no good
// key there is nothing to know callers by, and the replica is not ready.
func TestOddKeysCostOnlyThemselves(t *testing.T) {
	t.Parallel()
	is := newIssuer(t)
	weak, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // what is refused
	if err != nil {
		t.Fatal(err)
	}
	point := number(make([]byte, 32))
	strong := number(is.keys["RS256"].Public().(*rsa.PublicKey).N.Bytes())
	odd := []string{
		`{"kty":"RSA","n":"` + number(weak.N.Bytes()) + `","e":"AQAB","kid":"weak"}`,
		`{"kty":"RSA","n":"` + strong + `","e":"AQAB","alg":"RSA-OAEP"}`, `{"kty":"RSA","n":"` + strong + `","e":"AQAB","alg":"HS256"}`,
		`{"kty":"RSA","n":"` + strong + `","e":"AQAB","alg":"ES256"}`, `{"kty":"RSA","n":"` + strong + `","e":"AQAB","alg":"none"}`,
		`{"kty":"RSA","n":"!!","e":"AQAB"}`, `{"kty":"RSA","n":"","e":"AQAB"}`, `{"kty":"RSA","e":"AQAB"}`, `{"kty":"RSA","n":7,"e":[]}`,
		`{"kty":"oct","k":"AQIDBA"}`, `{"kty":"EC","crv":"P-256","x":"` + point + `","y":"` + point + `"}`, `{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}`,
		`{"kty":"OKP","crv":"Ed25519","x":"AQ"}`, `{"kty":"OKP","crv":"X25519","x":"` + point + `"}`, `{"kty":"AKP","alg":"ML-DSA-44","pub":"AQ"}`, `{}`, `7`, `null`, `"x"`, `{"kty":"RSA","x5c":["!"],"n":"AQ","e":"AQAB"}`,
	}
	good := strings.TrimSuffix(is.jwks(), "]}")
	for _, o := range odd {
		set, skipped, err := parseKeySet([]byte(good + "," + o + "]}"))
		plain, already, _ := parseKeySet([]byte(is.jwks()))
		if err != nil || len(set) != len(plain) || len(skipped) != len(already)+1 {
			t.Errorf("beside %s: %d keys of %d, %d left out of %d, %v", o, len(set), len(plain), len(skipped), len(already)+1, err)
		}
		if set, skipped, err := parseKeySet([]byte(`{"keys":[` + o + `]}`)); err == nil || set != nil || len(skipped) != 1 {
			t.Errorf("%s alone: %d keys, %v", o, len(set), err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		log := new(strings.Builder)
		w := &well{status: http.StatusOK, text: `{"keys":[` + odd[0] + `]}`}
		r, err := NewResolver(Config{Token: &TokenConfig{KeysURL: "https://issuer.example/keys", Issuer: issuerName, Audiences: []string{audienceName}}},
			Wiring{Client: &http.Client{Transport: w}, Log: slog.New(slog.NewTextHandler(log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		synctest.Wait()
		if usable, leftOut := r.TokenKeys(); r.Ready() == nil || usable != 0 || leftOut != 1 {
			t.Errorf("without a usable key: ready %v, %d usable, %d left out", r.Ready(), usable, leftOut)
		}
		w.mu.Lock()
		w.text = good + "," + odd[0] + "]}"
		w.mu.Unlock()
		<-time.After(3 * keysEvery)
		synctest.Wait()
		if usable, leftOut := r.TokenKeys(); r.Ready() != nil || usable == 0 || leftOut == 0 {
			t.Errorf("with a good key: ready %v, %d usable, %d left out", r.Ready(), usable, leftOut)
		}
		w.mu.Lock()
		w.text = `{"keys":[]}`
		w.mu.Unlock()
		<-time.After(keysEvery)
		synctest.Wait()
		if usable, _ := r.TokenKeys(); r.Ready() != nil || usable == 0 {
			t.Errorf("after an empty set: ready %v, %d usable", r.Ready(), usable)
		}
		if n := strings.Count(log.String(), "are left out"); n != 2 {
			t.Errorf("said %d times:\n%s", n, log)
		}
	})
}
