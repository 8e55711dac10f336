package identity

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// keysEvery is how often an issuer's keys are fetched anew. Issuers publish a
	// key well before they sign with it.
	keysEvery = 5 * time.Minute
	// keysAgain is how soon they are fetched again after a failure, and the least
	// time between two fetches because of tokens that name a key nobody knows:
	// whoever sends such tokens must not make the broker hammer the issuer.
	keysAgain = 15 * time.Second
	// keysTimeout bounds one fetch.
	keysTimeout = 5 * time.Second
	// maxKeysBytes bounds the document.
	maxKeysBytes = 1 << 20
)

// A keySource gives the keys of the moment. Those of a file are put in by the
// watcher of the file; those of an address it fetches itself until it is closed.
type keySource struct {
	set atomic.Pointer[keySet]
	// skipped is how many keys of the latest document could not be used.
	skipped atomic.Int64
	// said is the latest warning about such keys; used by one goroutine at a time.
	said string

	url     string
	client  *http.Client
	log     *slog.Logger
	observe func(err error)
	wanted  chan struct{} // a token names a key that is not in the set
	cancel  context.CancelFunc
	done    chan struct{}

	mu      sync.Mutex
	fetched time.Time     // when the last fetch ended
	round   chan struct{} // closed at the end of the fetch that is under way or comes next
	busy    bool          // one is under way, or asked for
}

// keys gives the set of the moment, nil before the first.
func (s *keySource) keys() *keySet { return s.set.Load() }

// load takes the contents of a file.
func (s *keySource) load(contents [][]byte) error {
	set, err := s.read(contents[0])
	if err != nil {
		return err
	}
	s.set.Store(&set)
	return nil
}

// read parses a document. It warns of keys that cannot be used, once for the same
// keys.
func (s *keySource) read(document []byte) (keySet, error) {
	set, skipped, err := parseKeySet(document)
	s.skipped.Store(int64(len(skipped)))
	text := ""
	if len(skipped) > 0 {
		text = clip(errors.Join(skipped...).Error())
	}
	if text != s.said && text != "" {
		s.log.Warn("keys to check tokens with are left out, because they cannot be used", "left_out", len(skipped), "in_use", len(set), "reasons", text)
	}
	s.said = text
	return set, err
}

// fetchFrom makes it fetch from an address, at once and then again and again.
// An issuer that does not answer does not keep the broker from starting: tokens
// are refused, with that reason, until it does.
func (s *keySource) fetchFrom(url string, client *http.Client, observe func(error)) {
	ctx, cancel := context.WithCancel(context.Background())
	s.url, s.observe = url, observe
	s.cancel, s.done, s.wanted = cancel, make(chan struct{}), make(chan struct{}, 1)
	s.round, s.busy = make(chan struct{}), true
	c := *client
	// The keys come from where the configuration says, and from nowhere else.
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s.client = &c
	go s.run(ctx)
}

func (s *keySource) run(ctx context.Context) {
	defer close(s.done)
	for {
		next := keysEvery
		if err := s.fetchOnce(ctx); err != nil {
			next = keysAgain
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		case <-s.wanted:
			timer.Stop()
		}
	}
}

// close ends the fetching.
func (s *keySource) close() {
	if s.cancel != nil {
		s.cancel()
		<-s.done
		s.client.CloseIdleConnections()
	}
}

// renew has the keys fetched because a token names one that is not in the set.
// It waits for the fetch, as long as ctx lasts, and reports whether there was
// one: never for a file, and not when the last one was a moment ago.
func (s *keySource) renew(ctx context.Context) bool {
	if s.url == "" {
		return false
	}
	s.mu.Lock()
	round := s.round
	if !s.busy {
		if time.Since(s.fetched) < keysAgain {
			s.mu.Unlock()
			return false
		}
		s.busy = true // a fetch has been asked for: the next caller waits for the same one
		s.wanted <- struct{}{}
	}
	s.mu.Unlock()
	select {
	case <-round:
		return true
	case <-ctx.Done():
	case <-s.done:
	}
	return false
}

func (s *keySource) fetchOnce(ctx context.Context) error {
	s.mu.Lock()
	s.busy = true
	select {
	case <-s.wanted: // asked for while this one was about to begin anyway
	default:
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.busy, s.fetched = false, time.Now()
		close(s.round)
		s.round = make(chan struct{})
	}()
	set, err := s.fetch(ctx)
	if ctx.Err() != nil {
		return ctx.Err() // closing
	}
	s.observe(err)
	if err != nil {
		held := "there are none: every token is refused, and this replica is not ready"
		if s.keys() != nil {
			held = "those fetched before stay in use"
		}
		s.log.ErrorContext(ctx, "keys to check tokens with could not be fetched; "+held, "url", s.url, "error", err)
		return err
	}
	s.set.Store(&set)
	return nil
}

func (s *keySource) fetch(ctx context.Context) (keySet, error) {
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, unreachable(err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusOK:
	case resp.StatusCode >= 300 && resp.StatusCode <= 399:
		return nil, fmt.Errorf("the answer is a redirect (%d) to %q, which is not followed: %s", resp.StatusCode, clip(resp.Header.Get("Location")), where)
	default:
		return nil, fmt.Errorf("the answer has the status %d %s: %s", resp.StatusCode, http.StatusText(resp.StatusCode), where)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKeysBytes+1))
	if err != nil {
		return nil, fmt.Errorf("the answer broke off (%w); it is asked for again", err)
	}
	if len(body) > maxKeysBytes {
		return nil, fmt.Errorf("the answer has more than %d bytes, and a set of keys has a few thousand: %s", maxKeysBytes, where)
	}
	set, err := s.read(body)
	if err != nil {
		return nil, fmt.Errorf("the answer %w: %s", err, where)
	}
	return set, nil
}

// where says what to do about an address that answers with something else than keys.
const where = "identity.token.keys_url has to be the issuer's jwks_uri, which its /.well-known/openid-configuration names"

// unreachable says why there was no answer, without the address, which the line of
// the log has, and what to do about it.
func unreachable(err error) error {
	var address *url.Error
	if errors.As(err, &address) {
		err = address.Err
	}
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var host *net.DNSError
	switch {
	case errors.As(err, &authority):
		return fmt.Errorf("its certificate comes from an authority that this machine does not trust; add the authority to the machine's own, or have the keys in a file and name it in identity.token.keys_file: %w", err)
	case errors.As(err, &name):
		return fmt.Errorf("its certificate is for another name; write one of its names in identity.token.keys_url: %w", err)
	case errors.As(err, &host):
		return fmt.Errorf("its name cannot be found; check identity.token.keys_url and the name server: %w", err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer within %v; check that the broker may reach it (a firewall, a network policy)", keysTimeout)
	}
	return fmt.Errorf("it does not answer; check identity.token.keys_url, and that the broker may reach it (a firewall, a network policy): %w", err)
}
