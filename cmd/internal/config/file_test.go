package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func read(t *testing.T, text string) (*File, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "merakid.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Read(name)
	if err == nil {
		err = f.Explain(f.Check())
	}
	return f, err
}

// aRule is the beginning of a rule that has all that it needs.
const aRule = `policy: [{name: a, callers: ["*"], operations: [{rpc: GetBudget}], organizations: ["*"]`

// TestZeroIsNotAbsent: a key that the file has is what it says, or an error; never the
// default.
func TestZeroIsNotAbsent(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"budget: {share: 0}": "budget.share: minimum: got 0", "budget: {rate: 0}": "budget.rate: minimum", "budget: {burst: 0}": "budget.burst: minimum",
		"budget: {address_rate: 0}": "budget.address_rate: minimum", "budget: {deadline: 0s}": "budget.deadline: 0s would end every call",
		"store: {addresses: ['a:1'], replicas: 0}": "store.replicas: minimum", "max_request_bytes: 0": "max_request_bytes: minimum",
		"listen: ''": "listen: '' does not match", "admin: ''": "admin: ''", "upstream: ''": "upstream: ''", "user_agent: ''": "user_agent: minLength",
		"log: {level: ''}": "log.level: value must be one of", "budget: {rate: 5}\n---\nbudget: {rate: 2}": "a second document",
		"preload: []": "preload: minItems", "identity: {trust_domains: []}": "identity.trust_domains: minItems", "identity: {trust_domains: ['']}": "identity.trust_domains[0]: minLength",
		"identity: {token: {keys_file: a, issuer: i, audiences: [a], algorithms: []}}\n" + aRule + "}]": "identity.token.algorithms: minItems",
		"identity: {token: {keys_file: a, issuer: i, audiences: [a], claim: ''}}\n" + aRule + "}]":      "identity.token.claim: minLength",
		aRule + ", defaults: {deadline: 0s}}]":                                                          "defaults.deadline: 0s would end every call", aRule + ", share: 0}]": "policy[0].share: minimum",
		"rest_agents: [{prefix: a, patience: 0s}]": "rest_agents[0].patience: 0s is too short", "rest_agents: [{prefix: '', patience: 2s}]": "rest_agents[0].prefix: minLength",
		"rest_agents: [{prefix: a}]": "rest_agents[0].patience: missing",
	} {
		if _, err := read(t, text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want one line with %q", text, err, want)
		}
	}
	f, err := read(t, "budget: {jitter: 0s}\ndrain: {timeout: 0s, settle: 0s}\ncache_bytes: 0\n")
	if err != nil || f.Budget.Jitter != 0 || f.Drain.Timeout != 0 || *f.Drain.Settle != 0 || f.CacheBytes != 0 {
		t.Errorf("zeros have become %v, %+v, %d: %v", f.Budget.Jitter, f.Drain, f.CacheBytes, err)
	}
	if f.Budget.Rate != 10 || f.Budget.Burst != 8 || f.Budget.Share != 1 {
		t.Errorf("what the file does not say is %+v", f.Budget)
	}
	for _, text := range []string{"", "# nothing\n", "budget:\nstore:\ntls:\n", "budget: {rate: }\n", aRule + ", defaults: {deadline: }}]", aRule + ", defaults: {deadline: 1s}}]"} {
		if f, err := read(t, text); err != nil || f.Budget.Rate != 10 || f.TLS != nil {
			t.Errorf("%q: %+v, %v", text, f.Budget, err)
		}
	}
}

func TestStore(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ yaml, says string }{
		{`{}`, ""},
		{`{addresses: ["redis:6379"], replicas: 3}`, ""},
		{`{addresses: ["a:1", "b:1"], master: m, database: 2, sentinel_username: s, sentinel_password_file: p, tls: true, ca_file: f, username: u, password_file: p, replicas: 3}`, ""},
		{`{addresses: []}`, "store.addresses: minItems: got 0, want 1"},
		{`{addresses: ["redis:6379"]}`, "store.replicas: properties 'replicas' required, if 'addresses' exists"},
		{`{addresses: ["redis:6379"], replicas: -1}`, "store.replicas: minimum: got -1, want 1"},
		{`{addresses: [""], replicas: 3}`, `store.addresses[0]: '' does not match`},
		{`{addresses: ["redis"], replicas: 3}`, `store.addresses[0]: 'redis' does not match`},
		{`{addresses: ["redis:99999"], replicas: 3}`, `address "redis:99999" is not host:port`},
		{`{addresses: ["redis:6379"], replicas: 3, database: -1}`, "store.database: minimum"},
		{`{addresses: ["redis:6379"], cluster: true, database: 1, replicas: 3}`, "a cluster has only database 0"},
		{`{addresses: ["redis:6379"], cluster: true, master: m, replicas: 3}`, "store.cluster: value must be false"},
		{`{addresses: ["redis:6379"], ca_file: f, replicas: 3}`, "store.tls: missing property"},
		{`{addresses: ["redis:6379"], sentinel_password_file: f, replicas: 3}`, "store.master: properties 'master' required, if 'sentinel_password_file' exists"},
		{`{addresses: ["redis:6379"], master: m, sentinel_username: u, replicas: 3}`, "store.sentinel_password_file: properties"},
		{`{addresses: ["redis:6379"], username: u, replicas: 3}`, "store.password_file: properties 'password_file' required, if 'username' exists"},
		{`{replicas: 3}`, "store.addresses: properties 'addresses' required, if 'replicas' exists"},
		{`{master: m}`, "store.addresses: missing property"}, {`{cluster: true}`, "'addresses' required"}, {`{database: 1}`, "'addresses' required"},
		{`{username: u}`, "'addresses' required"}, {`{password_file: f}`, "'addresses' required"}, {`{sentinel_username: f}`, "'addresses' required"},
		{`{sentinel_password_file: f}`, "'addresses' required"}, {`{tls: true}`, "'addresses' required"}, {`{ca_file: f}`, "store.addresses: missing"},
	} {
		_, err := read(t, "store: "+row.yaml+"\n")
		if row.says == "" && err != nil || row.says != "" && (err == nil || !strings.Contains(err.Error(), row.says)) {
			t.Errorf("store: %s: %v, want it to say %q", row.yaml, err, row.says)
		}
	}
}

// TestEgress: what contradicts one budget for an egress is said in one line, with what
// to do.
func TestEgress(t *testing.T) {
	t.Parallel()
	const store = "store: {addresses: ['redis:6379'], replicas: 3}\n"
	for _, row := range []struct{ yaml, says string }{
		{store + "budget: {egress: east}", ""},
		{store + "budget: {egress: east, address_rate: 100}", ""},
		{store + "budget: {egress: east, address_rate: 80}", ""}, // others use the address, too
		{"store: {addresses: ['redis:6379'], replicas: 1}\nbudget: {egress: east, address_rate: 33}", ""},
		{"upstream: http://127.0.0.1:1/api/v1\nsimulated: true\n" + store + "budget: {egress: east}", ""},
		{"budget: {egress: east}", "1: budget.egress: replicas share the budget of an egress through the store, and store.addresses is missing: name the store, or"},
		{store + "budget: {egress: east, address_rate: 33}", `2: budget.address_rate: 33 for each of 3 replicas is a part of the address's 100, and budget.egress "east" shares the whole of it: leave out`},
		{store + "budget: {egress: ''}", "2: budget.egress: '' does not match"},
		{store + "budget: {egress: 'a{b}'}", "2: budget.egress: 'a{b}' does not match"},
		{store + "budget: {egress: [a]}", "2: budget.egress: "},
		{store + "budget: {egress: " + strings.Repeat("a", 101) + "}", "2: budget.egress: maxLength"},
	} {
		_, err := read(t, row.yaml)
		if row.says == "" && err != nil || row.says != "" && (err == nil || !strings.Contains(err.Error(), row.says) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: %v, want it to say %q", row.yaml, err, row.says)
		}
	}
}

// TestTheRestTakesANewProcess: of a file that has changed, everything but the rules is
// named.
func TestTheRestTakesANewProcess(t *testing.T) {
	t.Parallel()
	f, err := read(t, "listen: 127.0.0.1:1\nbudget: {rate: 5}\n")
	if err != nil {
		t.Fatal(err)
	}
	f.Listen = "127.0.0.1:7"
	f.Flag("listen", "-listen")
	next, err := f.Again([]byte("listen: 127.0.0.1:2\nbudget: {rate: 4}\npolicy: [{name: a, callers: ['*'], operations: [{rpc: '*'}], organizations: ['*']}]\ncache_bytes: 0\n"))
	if err != nil || next.Explain(next.Check()) != nil {
		t.Fatal(err)
	}
	if got := f.Differences(next); !slices.Equal(got, []string{"budget", "cache_bytes"}) {
		t.Errorf("what differs is %v", got)
	}
}
