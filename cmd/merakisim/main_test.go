package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWrongFlagsAreOneLine(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		args []string
		says string
	}{
		{[]string{"-nonsense"}, "nonsense"},
		{[]string{"extra"}, "unexpected argument"},
		{[]string{"-organizations", "-1"}, "-organizations -1"},
		{[]string{"-organizations", "many"}, "many"},
		{[]string{"-organizations", "2000000"}, "too large"},
		{[]string{"-jitter", "-1s"}, "negative"},
		{[]string{"-jitter", "5"}, "jitter"},
		{[]string{"-faults", "2"}, "between 0 and 1"},
		{[]string{"-fault-kinds", "some"}, "every and transient"},
		{[]string{"-link-relations", "some"}, "quoted, mixed"},
		{[]string{"-listen", "127.0.0.1:0,east=nowhere"}, "-listen"},
		{[]string{"-limits=perhaps"}, "limits"},
		{[]string{"-keys", "=1"}, "no key"},
		{[]string{"-keys", "sec\x00ret"}, "HTTP header"},
		{[]string{"-listen", "nowhere"}, "-listen"},
		{[]string{"-listen", "256.0.0.1:1"}, "-listen"},
	} {
		err := run(t.Context(), row.args, io.Discard)
		if err == nil || !strings.Contains(err.Error(), row.says) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "sec") {
			t.Errorf("%q: %v", row.args, err)
		}
	}
	var out strings.Builder
	if err := run(t.Context(), []string{"-help"}, &out); !errors.Is(err, flag.ErrHelp) || !strings.Contains(out.String(), "-jitter") {
		t.Errorf("-help: %v, %s", err, out.String())
	}
}

// The three lines at the start tell the truth, and a signal ends it in good order.
func TestServe(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"-listen", "127.0.0.1:0", "-organizations", "2", "-networks", "0", "-keys", "one=2930418,two"}, w)
		_ = w.Close()
		done <- err
	}()
	lines := bufio.NewScanner(r)
	var said []string
	for len(said) < 3 && lines.Scan() {
		said = append(said, lines.Text())
	}
	if len(said) != 3 || !strings.Contains(said[0], "2 organizations of 0 networks") || !strings.Contains(said[2], "curl") {
		t.Fatalf("%q", said)
	}
	url := said[2][strings.Index(said[2], "http://"):]
	transport := &http.Transport{DisableKeepAlives: true}
	for key, want := range map[string]int{"one": 200, "two": 200, "three": 401} {
		req, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d", key, resp.StatusCode)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Two listeners of one name are one source address, and the limit is one for both.
func TestListenersAreAddresses(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"-listen", "east=127.0.0.1:0,east=127.0.0.1:0", "-address-rate", "0.001"}, w)
		_ = w.Close()
		done <- err
	}()
	lines := bufio.NewScanner(r)
	var hosts []string
	for len(hosts) < 2 && lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "Serving "); ok {
			base, _, _ := strings.Cut(rest, "/api/v1")
			hosts = append(hosts, base)
		}
	}
	if len(hosts) != 2 || !strings.Contains(lines.Text(), `"east"`) {
		t.Fatalf("%q %q", hosts, lines.Text())
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(hosts[0] + "/api/v1/organizations")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	resp, err = client.Get(hosts[1] + "/_sim/stats")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(body), `"east"`) || !strings.Contains(string(body), `"limited": 1`) {
		t.Errorf("%v %s", err, body)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
