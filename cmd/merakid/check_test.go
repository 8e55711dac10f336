package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/merakibroker/merakibroker/cmd/internal/config"
	"github.com/merakibroker/merakibroker/service/credential/secretfile"
	"github.com/merakibroker/merakibroker/service/identity"
)

// wrongFiles are configurations with the mistakes that users make. Each says in its
// head what is to be said of it; deploy/check holds the chart against the same ones.
const wrongFiles = "../internal/config/testdata/wrong"

var (
	says = regexp.MustCompile(`(?m)^# line (\d+) says: (.*)$`)
	// chartSays is for deploy/check; a file of which the chart knows nothing says why.
	chartSays = regexp.MustCompile(`(?m)^# chart says(: | nothing: ).`)
)

// TestCheckSaysWhatTheStartSays of each wrong configuration, in the same words.
func TestCheckSaysWhatTheStartSays(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(wrongFiles + "/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d wrong configurations: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m := says.FindStringSubmatch(string(text))
			if m == nil || !chartSays.Match(text) {
				t.Fatal("its head does not say what is to be said")
			}
			want := fmt.Sprintf("%s:%s: %s", file, m[1], m[2])
			var out bytes.Buffer
			err = do(t.Context(), func() {}, []string{"-check", "-config", file}, &out, &out)
			if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") || out.Len() > 0 {
				t.Fatalf("-check says\n%v\n%s, want one line that begins\n%s", err, &out, want)
			}
			if started := startup(t, file); started != err.Error() {
				t.Errorf("the start says\n%s\n-check says\n%s", started, err)
			}
		})
	}
}

// startup is what the start says of a configuration: the error that ends it, or the
// warning that it goes on with.
func startup(t *testing.T, file string) string {
	f, err := config.Read(file)
	if err != nil {
		return err.Error()
	}
	d, err := build(t.Context(), f, slog.New(slog.DiscardHandler))
	if err != nil {
		return err.Error()
	}
	defer d.close()
	return f.Explain(d.storeAnswers(t.Context())).Error()
}

// TestEverythingWrongIsTold at once, by line, and once each.
func TestEverythingWrongIsTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "merakid.yaml")
	text := `listen: 127.0.0.1:0
sandbox: maybe
budget: {rate: 20, share: 0, brust: 3}
rate: 5
identity:
  token: {issuer: me, audience: [x], keys_url: "ftp://x"}
  linkerd_client_id: {trusted: ["0.0.0.0/0", "spiffe://*"]}
policy:
  - callers: [a]
    operations: [{section: wirless, verbs: [read]}, {operation: rebootDevices}, {rpc: Call, unknown: true}, {}]
    organizations: [123, "1*"]
  - {name: b, callers: ["*"], operations: [{section: devices}], organizations: ["*"], priority: urgent, weight: 1000}
credentials:
  keys: [{name: main, file: ` + dir + `/none}, {name: main, env: NO_SUCH_VARIABLE, file: x}]
tls: {certificate_file: ` + dir + `/none, key_file: ` + dir + `/none, client_auth: require}
log: {level: loud}
rest_forwarded: {trusted: ["0.0.0.0/0"]}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	err := do(t.Context(), func() {}, []string{"-check", "-config", file, "-admin", "nowhere"}, new(bytes.Buffer), new(bytes.Buffer))
	if err == nil {
		t.Fatal("nothing is wrong")
	}
	got := strings.ReplaceAll(err.Error(), file, "FILE")
	got = strings.ReplaceAll(got, dir, "DIR")
	want := `-admin: "nowhere" is not host:port
FILE:2: sandbox: got string, want boolean (sandbox: serves a simulated Dashboard inside, and asks that one)
FILE:3: budget.brust: additional properties 'brust' not allowed; did you mean burst?
FILE:3: budget.rate: maximum: got 20, want 10 (rate: of an organization in requests a second)
FILE:3: budget.share: minimum: got 0, want 0.01 (share: of rate that is the broker's, from 0.01 to 1, when`
	if !strings.HasPrefix(got, want) {
		t.Errorf("got\n%s\nwant it to begin\n%s", got, want)
	}
	for _, line := range []string{
		"FILE:4: rate: additional properties 'rate' not allowed; did you mean budget.rate?",
		"FILE:6: identity.token.audience: additional properties 'audience' not allowed; did you mean audiences?",
		"FILE:6: identity.token.audiences: missing property 'audiences'",
		"FILE:6: identity.token.keys_url: 'ftp://x' does not match pattern",
		"FILE:7: identity.linkerd_client_id.trusted[0]: 0.0.0.0/0 trusts the whole world",
		"FILE:7: identity.linkerd_client_id.trusted[1]: \"spiffe://*\" leaves the trust domain open",
		"FILE:9: policy[0].name: missing property 'name'",
		"FILE:10: policy[0].operations[0].section: value must be one of '*', 'administered', 'appliance', 'camera', 'campusGateway', 'campus_gateway', 'cellularGateway', 'cellular_gateway', 'devices', 'insight', 'licensing', 'networks', 'organizations', 'sensor', 'sm', 'spaces', 'switch', 'switching', 'wireless', 'wirelessController', 'wireless_controller'; did you mean wireless?",
		"FILE:10: policy[0].operations[1].operation: \"rebootDevices\" is not an operation that has an RPC; those that have none go through the RPC Call; did you mean rebootDevice?",
		"FILE:10: policy[0].operations[2].verbs: say [read], [write] or [read, write]",
		"FILE:10: policy[0].operations[3]: missing property 'section', or missing property 'operation', or missing property 'rpc'",
		"FILE:11: policy[0].organizations[0]: got number, want string",
		"FILE:11: policy[0].organizations[1]: \"1*\" is not an organization's id",
		"FILE:12: policy[1].operations[0].verbs: missing property 'verbs'",
		"FILE:12: policy[1].priority: value must be one of 'critical', 'normal', 'bulk'",
		"FILE:12: policy[1].weight: maximum: got 1,000, want 100",
		"FILE:14: credentials.keys[1].env: maxLength: got 16, want 0",
		"FILE:14: credentials.keys[1].name: \"main\" is the name of key 0 too",
		"FILE:15: tls.client_ca_file: missing property 'client_ca_file'",
		"FILE:17: rest_forwarded.trusted[0]: 0.0.0.0/0 trusts the whole world",
		"FILE:16: log.level: value must be one of 'debug', 'info', 'warn', 'error'",
	} {
		if strings.Count(got, line) != 1 {
			t.Errorf("is not told once: %s", line)
		}
	}
	if n := strings.Count(got, "\n") + 1; n != 27 {
		t.Errorf("%d lines, want 27", n)
	}
	for _, word := range []string{"Config", "struct", "unmarshal", "yaml", "UpstreamCAFile", "<nil>"} {
		if strings.Contains(got, word) {
			t.Errorf("says %q, which is a word of Go's", word)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

// TestMisplacedSecretsAreNotTold: what is wrong with a configuration is told without the key,
// the token or the password that stands in the wrong place.
func TestMisplacedSecretsAreNotTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const key, password = "0123456789abcdef0123456789ABCDEF01234567", "hunter2"
	tokens := filepath.Join(dir, "tokens")
	if err := os.WriteFile(tokens, []byte(key+": exporter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{
		`upstream: "https://me:hunter2 x@host/api/v1"`, `upstream: "https://me:hunter2%zz@host/api/v1"`, `upstream: "https://me:hun/hunter2@ho st/api/v1"`,
		`upstream: "ftp://me:hunter2@host"`, `upstream: "me:hunter2@host"`, `upstream: "https://:hunter2@host/api/v1"`,
		`store: {addresses: ["redis://:hunter2@h:6379"], replicas: 1}`, `store: {addresses: ["me:hunter2@h:6379"], replicas: 1}`,
		`credentials: {keys: [{name: a, file: "Bearer ` + key + `"}]}`, `credentials: {keys: [{` + key + `: a}]}`, `credentials: {keys: [` + key + `]}`, `credentials: ` + key,
		key + `: a`, `listen: ` + key, `audit: {to: /none/` + key + `}`,
		`identity: {static_tokens: {file: ` + key + `}}`, `identity: {static_tokens: {file: ` + tokens + `}}`, `operators_file: ` + tokens,
		`identity: {token: {issuer: a, audiences: [b], keys_url: "https://me:hunter2@host/keys"}}`, `tls: {certificate_file: ` + key + `, key_file: b}`,
	} {
		file := filepath.Join(dir, strconv.Itoa(i)+".yaml")
		if !strings.Contains(text, "upstream") && !strings.Contains(text, "credentials") {
			text += "\nsandbox: true"
		}
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		err := do(t.Context(), func() {}, []string{"-check", "-config", file}, new(bytes.Buffer), new(bytes.Buffer))
		if err == nil || strings.Contains(err.Error(), key) || strings.Contains(err.Error(), password) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestCheckOfWhatIsRight(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := do(context.Background(), func() {}, []string{"-check", "-sandbox"}, &out, &out); err != nil || out.String() != "no configuration file: nothing is wrong\n" {
		t.Errorf("%v, %q", err, &out)
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := do(t.Context(), func() {}, []string{"-version"}, &out, &out); err != nil || !regexp.MustCompile(`^merakid \S+, revision .+, go1\.\S+\n$`).MatchString(out.String()) {
		t.Errorf("%v, %q", err, &out)
	}
}

// TestRulesAreReread: rules that have changed hold without a new process, wrong ones
// leave in force what was, and whatever else has changed is named.
func TestRulesAreReread(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "merakid.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rules := func(section string) string {
		return "sandbox: true\npolicy: [{name: a, callers: [anonymous], operations: [{section: " + section + ", verbs: [read]}], organizations: ['*']}]\n"
	}
	write(rules("devices"))
	f, err := config.Read(file)
	if err != nil || f.Explain(f.Check()) != nil {
		t.Fatal(err)
	}
	devices := identity.Request{Section: "devices", Operation: "getDevice", Read: true}
	networks := identity.Request{Section: "networks", Operation: "getNetwork", Read: true}
	policy, err := identity.NewPolicy(f.Policy, false, []identity.Request{devices, networks})
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer // read after an outcome alone, which comes after what is said
	outcomes := make(chan secretfile.Outcome, 1)
	files := secretfile.New(secretfile.Config{
		Log: slog.New(slog.NewTextHandler(&said, nil)), Observe: func(_ string, o secretfile.Outcome) { outcomes <- o },
	})
	defer files.Close()
	if err := rereadRules(f, policy, files, slog.New(slog.NewTextHandler(&said, nil))); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		text    string
		outcome secretfile.Outcome
		allowed identity.Request
		says    string
	}{
		{rules("networks") + "cache_bytes: 0\n", secretfile.Loaded, networks, "takes a new process\" keys=cache_bytes"},
		{rules("nets"), secretfile.Refused, networks, `:2: policy[0].operations[0].section: value must be one of`},
		{"policy: [", secretfile.Refused, networks, "merakid.yaml:1: "},
		{rules("devices") + "bugdet: {}\n", secretfile.Refused, networks, "did you mean budget?"},
		{rules("devices"), secretfile.Loaded, devices, "hold from now on"},
	} {
		write(step.text)
		files.Poke()
		if got := <-outcomes; got != step.outcome {
			t.Fatalf("%s is %s, want %s", step.text, got, step.outcome)
		}
		for _, request := range []identity.Request{devices, networks} {
			if _, err := policy.Decide(identity.Anonymous, request); (err == nil) != (request == step.allowed) {
				t.Errorf("after %s: %s: %v", step.text, request.Operation, err)
			}
		}
		if notTaken := files.NotTaken(); (len(notTaken) == 1) != (step.outcome == secretfile.Refused) {
			t.Errorf("after %s: not taken are %q", step.text, notTaken)
		}
		if !strings.Contains(said.String(), step.says) {
			t.Errorf("%s says\n%s, want %q", step.text, &said, step.says)
		}
		said.Reset()
	}
}

// TestTokensAreReread: a token that has been added is known without a new process; a file
// that is wrong leaves in force what was, says so and is counted until it is mended.
func TestTokensAreReread(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tokens")
	var tokens, lines []string
	for _, name := range []string{"first", "second"} {
		token, line, err := identity.NewToken(name)
		if err != nil {
			t.Fatal(err)
		}
		tokens, lines = append(tokens, token), append(lines, line+"\n")
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(lines[0])
	var said bytes.Buffer // read after an outcome alone, which comes after what is said
	outcomes := make(chan secretfile.Outcome, 1)
	registry := prometheus.NewRegistry()
	count := fileCounter(registry)
	files := secretfile.New(secretfile.Config{
		Log: slog.New(slog.NewTextHandler(&said, nil)), Observe: func(group string, o secretfile.Outcome) { count(group, o); outcomes <- o },
	})
	defer files.Close()
	notTakenGauge(registry, files)
	callers, err := identity.NewResolver(identity.Config{StaticTokens: &identity.StaticTokenConfig{File: file}}, identity.Wiring{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	defer callers.Close()
	for _, step := range []struct {
		text    string
		outcome secretfile.Outcome
		known   int // tokens
		says    string
	}{
		{lines[0] + lines[1], secretfile.Loaded, 2, "files re-read"},
		{lines[0] + "third: " + tokens[1] + "\n", secretfile.Refused, 2, "is not a SHA-256 in hex"},
		{"", secretfile.Unreadable, 2, "is empty"},
		{lines[0], secretfile.Loaded, 1, "files re-read"},
	} {
		write(step.text)
		files.Poke()
		if got := <-outcomes; got != step.outcome {
			t.Fatalf("%q is %s, want %s", step.text, got, step.outcome)
		}
		for i, token := range tokens {
			r := httptest.NewRequest(http.MethodGet, "/api/v1/organizations", nil)
			r.Header.Set("Authorization", "Bearer "+token)
			if caller, _, err := callers.ResolveHTTP(r, ""); (err == nil && caller.Source == identity.StaticToken) != (i < step.known) {
				t.Errorf("after %q: token %d: %v, %v", step.text, i, caller, err)
			}
		}
		notTaken := len(files.NotTaken())
		if (notTaken == 1) != (step.outcome != secretfile.Loaded) || !strings.Contains(said.String(), step.says) || strings.Contains(said.String(), tokens[1]) {
			t.Errorf("after %q: %d not taken, and it says\n%s", step.text, notTaken, &said)
		}
		said.Reset()
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := make(map[string]int)
	for _, family := range families {
		counted[family.GetName()] = len(family.GetMetric())
	}
	if counted["merakibroker_file_reads_total"] != 3 || counted["merakibroker_files_not_taken"] != 1 {
		t.Errorf("counted are %v", counted)
	}
}
