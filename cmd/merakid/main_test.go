package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"
)

// start goes as far as a daemon goes before it listens.
func start(t *testing.T, args ...string) error {
	t.Helper()
	asked, err := parse(args, io.Discard)
	if err != nil {
		return err
	}
	d, err := build(context.Background(), asked.file, slog.New(slog.DiscardHandler))
	if err == nil {
		d.close()
	}
	return err
}

// TestWrong: everything that can be wrong at start gives lines that say what.
func TestWrong(t *testing.T) {
	t.Setenv("MERAKI_DASHBOARD_API_KEY", "")
	t.Setenv("MERAKID_TEST_KEY", "0123456789abcdef0123456789abcdef01234567")
	for _, row := range []struct {
		args string
		want string
	}{
		{"-lisen x", "flag provided but not defined: -lisen"},
		{"sandbox", `what is "sandbox"?`},
		{"-sandbox -upstream https://api.meraki.com/api/v1", "exclude each other"},
		{"-sandbox -listen nowhere", `-listen: "nowhere" is not host:port`},
		{"-upstream ftp://api.meraki.com", `-upstream: "ftp://api.meraki.com" is not an http or https address`},
		{"-upstream http://proxy.example/api/v1", "over http everyone on the way can read the API key. Write https, or say upstream_plain_http: true"},
		{"-upstream https://api.meraki.com", "where the API begins at /api/v1; write https://api.meraki.com/api/v1"},
		{"-config testdata/wrong_upstream_ca.yaml", "wrong_upstream_ca.yaml:1: upstream_ca_file: testdata/wrong_upstream_ca.yaml: holds no certificate in PEM"},
		{"-config testdata/there_is_none.yaml", "no such file"},
		{"-config testdata/wrong_burst_and_jitter.yaml", "burst 9 + rate 10/s x jitter 0.2s = 9 + 2 = 11, above the burst of 10"},
		{"-config testdata/wrong_burst_and_jitter.yaml -upstream http://127.0.0.1:8080/api/v1", "above the burst of 10"},
		{"-config testdata/wrong_simulated.yaml", "wrong_simulated.yaml:1: simulated: is for an upstream on this machine"},
		{"-config testdata/wrong_not_yaml.yaml", "wrong_not_yaml.yaml:1: did not find expected ',' or ']'"},
		{"-config testdata/wrong_twice.yaml", `wrong_twice.yaml:3: mapping key "listen" already defined at line 1`},
		{"-sandbox -config testdata/wrong_no_rules.yaml", "policy: missing property 'policy'"},
		{"-config testdata/wrong_xds.yaml", "xds is true"},
		{"-config testdata/wrong_tracing.yaml", "wrong_tracing.yaml:2: tracing.endpoint: 'collector:4317' does not match pattern '^https?://.' (endpoint: of a collector that takes OTLP over gRPC"},
		{"-config testdata/wrong_reachable.yaml", "wrong_reachable.yaml:1: listen: 0.0.0.0:50051 is an address that others can reach, and no source of identity is on"},
		{"-sandbox -rest 0.0.0.0:80", "-rest: 0.0.0.0:80 is an address that others can reach, and no source of identity is on"},
		{"-config testdata/wrong_preload.yaml", "wrong_preload.yaml:5: preload[0]: no key of credentials.keys serves organization 2"},
		{"-config testdata/wrong_outcomes.yaml", "wrong_outcomes.yaml:1: outcomes.life: 1s is not from 1m0s to 168h0m0s"},
		{"-config testdata/wrong_outcomes.yaml", "wrong_outcomes.yaml:1: outcomes.grace: 1h0m0s is not from 1s to 5m0s"},
		{"-config testdata/wrong_outcomes.yaml", "wrong_outcomes.yaml:2: store.keys_file: there is nothing to encrypt"},
		{"-config testdata/wrong_keys.yaml", "wrong_keys.yaml:1: store.keys_file: testdata/wrong_keys.yaml: line 1 is not a key: 32 bytes in base64"},
		{"-config testdata/wrong_egress.yaml", "wrong_egress.yaml:2: budget.egress: replicas share the budget of an egress through the store, and store.addresses is missing"},
		{"", "credentials: there is no usable Dashboard API key"},
	} {
		err := start(t, strings.Fields(row.args)...)
		if err == nil {
			t.Errorf("merakid %s starts", row.args)
			continue
		}
		if got := err.Error(); !strings.Contains(got, row.want) {
			t.Errorf("merakid %s says %q, want %q in it", row.args, got, row.want)
		}
	}
}

func TestHelp(t *testing.T) {
	var out strings.Builder
	if _, err := parse([]string{"-h"}, &out); !errors.Is(err, flag.ErrHelp) {
		t.Fatalf("got %v", err)
	}
	for _, name := range []string{"-sandbox", "-listen", "-admin", "-upstream", "-config", "-check", "-version", "-new-token"} {
		if !strings.Contains(out.String(), name) {
			t.Errorf("the help does not name %s", name)
		}
	}
}

// TestSandboxNeedsNothing: no key, no configuration.
func TestSandboxNeedsNothing(t *testing.T) {
	t.Setenv("MERAKI_DASHBOARD_API_KEY", "")
	if err := start(t, "-sandbox"); err != nil {
		t.Fatal(err)
	}
}

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"max\n": 0, "9223372036854771712\n": 0, "": 0, "-1": 0, "1000000\n": 900000,
	} {
		if got := memoryLimit(text); got != want {
			t.Errorf("a cgroup's %q gives %d, want %d", text, got, want)
		}
	}
}

func TestCgroupLimit(t *testing.T) {
	t.Parallel()
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for name, row := range map[string]struct {
		files fstest.MapFS
		want  int64
	}{
		"nothing":      {fstest.MapFS{}, 0},
		"no limit":     {fstest.MapFS{"sys/fs/cgroup/memory.max": file("max\n")}, 0},
		"a container":  {fstest.MapFS{"proc/self/cgroup": file("0::/\n"), "sys/fs/cgroup/memory.max": file("1000000\n")}, 900000},
		"the old kind": {fstest.MapFS{"sys/fs/cgroup/memory/memory.limit_in_bytes": file("2000000\n")}, 1800000},
		"the least of a path": {fstest.MapFS{
			"proc/self/cgroup":                                      file("0::/system.slice/merakid.service\n"),
			"sys/fs/cgroup/system.slice/memory.max":                 file("500000\n"),
			"sys/fs/cgroup/system.slice/merakid.service/memory.max": file("max\n"),
		}, 450000},
		"the old kind, of a path": {fstest.MapFS{
			"proc/self/cgroup":                               file("4:cpu:/x\n5:memory:/a/b\n"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes":     file("9223372036854771712\n"),
			"sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": file("100000\n"),
		}, 90000},
	} {
		if got := cgroupLimit(row.files); got != row.want {
			t.Errorf("%s: %d, want %d", name, got, row.want)
		}
	}
}

// TestConnectionsLeaveDescriptors for everything else.
func TestConnectionsLeaveDescriptors(t *testing.T) {
	t.Parallel()
	for descriptors, want := range map[int]int{0: maxConnections, 16: 1, 64: 32, 1024: 768, 4096: 3072, 1 << 20: maxConnections} {
		if got := connectionLimit(descriptors); got != want {
			t.Errorf("of %d descriptors %d are for callers, want %d", descriptors, got, want)
		}
	}
	for text, want := range map[string]int{
		"": 0, "Max open files            1024                 4096                 files     \n": 1024,
		"Limit Soft Hard Units\nMax open files            unlimited            unlimited            files\n": 0,
	} {
		if got := descriptorLimit(fstest.MapFS{"proc/self/limits": &fstest.MapFile{Data: []byte(text)}}); got != want {
			t.Errorf("%q gives %d, want %d", text, got, want)
		}
	}
}
