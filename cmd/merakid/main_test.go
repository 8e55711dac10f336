package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/merakibroker/merakibroker/cmd/internal/config"
)

// start goes as far as a daemon goes before it listens.
func start(t *testing.T, args ...string) error {
	t.Helper()
	c, err := parse(args, io.Discard)
	if err != nil {
		return err
	}
	d, err := build(context.Background(), c, slog.New(slog.DiscardHandler))
	if err == nil {
		d.close()
	}
	return err
}

// TestWrong: everything that can be wrong at start gives one line that says what.
func TestWrong(t *testing.T) {
	t.Setenv("MERAKI_DASHBOARD_API_KEY", "")
	for _, row := range []struct {
		args string
		want string
	}{
		{"-lisen x", "flag provided but not defined: -lisen"},
		{"sandbox", `what is "sandbox"?`},
		{"-sandbox -upstream https://api.meraki.com/api/v1", "exclude each other"},
		{"-sandbox -listen nowhere", `listen is "nowhere", which is not host:port`},
		{"-upstream ftp://api.meraki.com", "not an http or https address"},
		{"-upstream http://proxy.example/api/v1", "over http everyone on the way can read the API key. Write https, or say upstream_plain_http: true"},
		{"-upstream https://api.meraki.com", "where the API begins at /api/v1; write https://api.meraki.com/api/v1"},
		{"-config testdata/busted_upstream_ca.yaml", "upstream_ca_file: testdata/busted_upstream_ca.yaml holds no certificate in PEM"},
		{"-config testdata/there_is_none.yaml", "no such file"},
		{"-config testdata/busted_unknown_key.yaml", "field bugdet not found"},
		{"-config testdata/busted_burst_and_jitter.yaml", "burst 9 + rate 10/s x jitter 0.2s = 9 + 2 = 11, above the burst of 10"},
		{"-config testdata/busted_burst_and_jitter.yaml -upstream http://127.0.0.1:8080/api/v1", "above the burst of 10"},
		{"-config testdata/busted_simulated.yaml", "simulated is for an upstream on this machine"},
		{"-config testdata/busted_duration.yaml", `"soon" is not a duration`},
		{"-config testdata/busted_not_yaml.yaml", "line 1"},
		{"-config testdata/busted_sentinel_and_cluster.yaml", "exclude each other"},
		{"-sandbox -config testdata/busted_rule.yaml", "getOrganisations"},
		{"-sandbox -config testdata/busted_no_rules.yaml", "every call would be refused"},
		{"-config testdata/busted_key_file.yaml", "keys[0].file"},
		{"-config testdata/busted_xds.yaml", "xds is true"},
		{"-config testdata/busted_tracing.yaml", "tracing.endpoint is"},
		{"-config testdata/busted_reachable.yaml", "no source of identity is on"},
		{"", "no usable Dashboard API key"},
	} {
		err := start(t, strings.Fields(row.args)...)
		if err == nil {
			t.Errorf("merakid %s starts", row.args)
			continue
		}
		if got := oneLine(err); !strings.Contains(got, row.want) || strings.Contains(got, "\n") {
			t.Errorf("merakid %s says %q, want %q in it", row.args, got, row.want)
		}
	}
}

func TestHelp(t *testing.T) {
	var out strings.Builder
	if _, err := parse([]string{"-h"}, &out); !errors.Is(err, flag.ErrHelp) {
		t.Fatalf("got %v", err)
	}
	for _, name := range []string{"-sandbox", "-listen", "-admin", "-upstream", "-config"} {
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

// TestZeroIsNotAbsent: a key that the file has is what it says, or an error; never the
// default.
func TestZeroIsNotAbsent(t *testing.T) {
	t.Parallel()
	read := func(text string) (*config.Config, error) {
		file := filepath.Join(t.TempDir(), "merakid.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Read(file)
		if err == nil {
			err = c.Complete()
		}
		return c, err
	}
	for text, want := range map[string]string{
		"budget: {share: 0}": "budget.share is 0", "budget: {rate: 0}": "budget:", "budget: {burst: 0}": "budget:",
		"budget: {address_rate: 0}": "budget.address_rate is 0", "budget: {deadline: 0s}": "budget.deadline is 0s",
		"store: {addresses: ['a:1'], replicas: 0}": "replicas is 0", "max_request_bytes: 0": "max_request_bytes is 0",
		"listen: ''": "listen is", "admin: ''": "admin is", "upstream: ''": "upstream is", "user_agent: ''": "user_agent is empty",
		"log: {level: ''}": "", "budget: {rate: 5}\n---\nbudget: {rate: 2}": "a second document",
	} {
		_, err := read(text)
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", text, err)
		}
	}
	c, err := read("budget: {jitter: 0s}\ndrain: {timeout: 0s, settle: 0s}\ncache_bytes: 0\n")
	if err != nil || c.Budget.Jitter != 0 || c.Drain.Timeout != 0 || *c.Drain.Settle != 0 || c.CacheBytes != 0 {
		t.Errorf("zeros have become %v, %+v, %d: %v", c.Budget.Jitter, c.Drain, c.CacheBytes, err)
	}
	if c.Budget.Rate != 10 || c.Budget.Burst != 8 || c.Budget.Share != 1 {
		t.Errorf("what the file does not say is %+v", c.Budget)
	}
	if _, err := read("# nothing\n"); err != nil {
		t.Errorf("an empty file: %v", err)
	}
}
