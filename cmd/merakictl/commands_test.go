package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/merakibroker/merakibroker/service/sandbox"
)

// update writes the golden files anew.
var update = flag.Bool("update", false, "write the golden files anew")

// What differs from run to run, and what stands for it.
var differs = []struct {
	what  *regexp.Regexp
	stand string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`), "MOMENT"},
	{regexp.MustCompile(`\d\d:\d\d:\d\d(\.\d\d\d)?`), "CLOCK"},
	{regexp.MustCompile(`\b\d+m(\d+s)?\b`), "TIME"},
	{regexp.MustCompile(`\b\d+(\.\d+)?(µs|ms|s)\b`), "TIME"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "ADDRESS"},
	{regexp.MustCompile(`\b[0-9a-f]{40,64}\b`), "SECRET"},
	{regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}\b`), "UUID"},
	{regexp.MustCompile(`\b([0-9a-f]{12}|[0-9a-f]{16})\b`), "ID"},
	{regexp.MustCompile(`  +`), "  "}, // columns are as wide as what stands in them
}

// golden compares text with a file of testdata.
func golden(t *testing.T, name, text string) {
	t.Helper()
	for _, d := range differs {
		text = d.what.ReplaceAllString(text, d.stand)
	}
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s says\n%s\nwant\n%s", name, text, want)
	}
}

// TestCommands runs every command that asks a broker against a real one, and compares
// what it says. The order counts: the calls come first.
func TestCommands(t *testing.T) {
	b := newBench(t, sandbox.Options{Seed: 1})
	organization, network := b.sandbox.OrganizationID(0), b.sandbox.NetworkID(0, 0)
	for _, row := range []struct {
		name string
		args string
		in   string
		code int
	}{
		{name: "call", args: "call GET /organizations/ORG"},
		{name: "call-all", args: "call GET /organizations/ORG/networks?perPage=3 --all"},
		{name: "call-put", args: "call PUT /networks/NET --idempotency-key one --data -", in: `{"name": "Lobby"}`},
		{name: "call-wrong", args: "call GET /organizations/ORG/nothing/here", code: exitNotFound},
		{name: "call-not-there", args: "call GET /networks/N_404", code: exitNotFound},
		{name: "call-operator", args: "call GET /organizations --address OPS", code: exitNotAllowed},
		{name: "apply", args: "apply - --timeout 1s", in: `{"operation": "updateNetwork", "request": {"networkId": "NET", "name": "Hall"}}
{"operation": "updateNetwork", "id": "gone", "request": {"networkId": "N_404", "name": "Hall"}}`, code: exitNotWell},
		{name: "apply-no-operation", args: "apply -", in: `[{"operation": "updateNothing", "request": {}}]`, code: exitMisuse},
		{name: "apply-no-field", args: "apply -", in: `[{"operation": "updateNetwork", "request": {"nmae": 1}}]`, code: exitMisuse},
		{name: "budgets-wrong", args: "budgets no/such", code: exitWrong},
		{name: "usage", args: "usage --by caller,operation --since 5m --caller anonymous"},
		{name: "usage-json", args: "usage --by caller --caller nobody -o json"},
		{name: "usage-wrong", args: "usage --by colour", code: exitMisuse},
		{name: "attempts", args: "attempts --caller anonymous --organization ORG --limit 2"},
		{name: "attempts-failed", args: "attempts --failed"},
		{name: "compare", args: "compare ORG"},
		{name: "drift", args: "drift"},
		{name: "explain", args: "explain GET /networks/NET/clients"},
		{name: "explain-operation", args: "explain getNetworkClients /networks/NET/clients --priority bulk -o json"},
		{name: "explain-wrong", args: "explain getNetworkClients /organizations/ORG", code: exitWrong},
		{name: "can", args: "can anonymous getNetworkClients ORG"},
		{name: "can-not", args: "can shop getNetworkClients ORG", code: exitNotAllowed},
		{name: "can-what", args: "can shop getNothing", code: exitWrong},
		{name: "hold", args: "hold organization ORG --for 10m --reason noise --token-file TOKEN"},
		{name: "misspelt", args: "attempts --operation getOrganisation"},
		{name: "hold-nobody", args: "hold writes --for 10m --reason x", code: exitNotAllowed},
		{name: "hold-what", args: "hold everything --for 10m --reason x", code: exitMisuse},
		{name: "holds", args: "holds"},
		{name: "call-held", args: "call GET /organizations/ORG --priority bulk", code: exitNoBudget},
		{name: "release", args: "release organization ORG --token-file TOKEN"},
	} {
		t.Run(row.name, func(t *testing.T) {
			fill := strings.NewReplacer("ORG", organization, "NET", network, "OPS", b.operators, "TOKEN", b.token)
			r := b.do(t, fill.Replace(row.in), strings.Fields(fill.Replace(row.args))...)
			if r.code != row.code {
				t.Errorf("exit %d, want %d\n%s%s", r.code, row.code, r.out, r.err)
			}
			if strings.ContainsRune(r.out+r.err, '\x1b') {
				t.Errorf("an escape sequence goes into a pipe: %q", r.out+r.err)
			}
			text := r.out
			if strings.Contains(row.args, "-o json") || strings.HasPrefix(row.args, "call ") && row.code == 0 {
				if !json.Valid([]byte(r.out)) {
					t.Errorf("is not JSON: %s", r.out)
				}
			}
			if r.err != "" {
				text += "-- standard error\n" + r.err
			}
			golden(t, row.name, strings.NewReplacer(organization, "ORG", network, "NET").Replace(text))
		})
	}
	// The broker learns owners by itself, so that these count more or less.
	if r := b.do(t, "", "budgets"); r.code != 0 || !regexp.MustCompile(`(?m)^ *`+organization+` +1000000 +1000000 +\d+ +- +- +\d+ +- +- +1$`).MatchString(r.out) {
		t.Errorf("budgets: %+v", r)
	}
	if r := b.do(t, "", "budgets", organization, "-o", "json"); r.code != 0 || !regexp.MustCompile(`"organizationId": "`+organization+`"`).MatchString(r.out) || !json.Valid([]byte(r.out)) {
		t.Errorf("budgets -o json: %+v", r)
	}
	if r := b.do(t, "", "health"); r.code != 0 || !regexp.MustCompile(`(?m)^\(all\) +5m +\d+ +- +- +0\.0 % +TOO FEW$`).MatchString(r.out) {
		t.Errorf("health: %+v", r)
	}
	if r := b.do(t, "", "top"); r.code != 0 || !strings.Contains(r.out, "Dashboard: OK") || !strings.Contains(r.out, "Last failures") || strings.ContainsRune(r.out, '\x1b') {
		t.Errorf("top in a pipe: %+v", r)
	}
	if n := b.sandbox.Executed("PUT", "/networks/"+network, nil); n == 0 && len(b.sandbox.Executions()) == 0 {
		t.Error("nothing was written")
	}
}

// TestLocal runs the commands that need no broker.
func TestLocal(t *testing.T) {
	for _, row := range []struct {
		name, args string
		code       int
	}{
		{"token", "token new exporter", exitDone},
		{"token-json", "token new exporter -o json", exitDone},
		{"token-wrong", "token new a/b", exitMisuse},
		{"config-check", "config check ../internal/config/testdata/wrong/misspelt.yaml", exitNotWell},
		{"config-check-operation", "config check ../internal/config/testdata/wrong/unknown-operation.yaml", exitNotWell},
		{"config-check-nothing", "config check testdata/there-is-none.yaml", exitNotWell},
		{"config-check-right", "config check testdata/right.yaml", exitDone},
		{"no-command", "tpo", exitMisuse},
		{"no-flag", "health --colour", exitMisuse},
		{"no-argument", "compare", exitMisuse},
		{"one-argument-more", "drift a b", exitMisuse},
		{"no-output", "health -o yaml", exitMisuse},
		{"no-address", "health --address here", exitMisuse},
		{"no-broker", "health --address 127.0.0.1:1", exitUnreachable},
		{"no-ca", "health --ca testdata/there-is-none", exitMisuse},
		{"token-in-clear", "health --address 192.0.2.1:9090 --token-file testdata/right.yaml", exitMisuse},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := (*bench)(nil).do(t, "", strings.Fields(row.args)...)
			if r.code != row.code {
				t.Errorf("exit %d, want %d\n%s%s", r.code, row.code, r.out, r.err)
			}
			golden(t, row.name, r.out+r.err)
		})
	}
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	if r := (*bench)(nil).do(t, "", "config", "docs"); r.out != string(page) {
		t.Error("config docs is not docs/configuration.md")
	}
	if r := (*bench)(nil).do(t, "", "config", "schema"); !json.Valid([]byte(r.out)) {
		t.Error("config schema is not JSON")
	}
	if r := (*bench)(nil).do(t, "", "version"); r.code != 0 || !strings.HasPrefix(r.out, "merakictl ") {
		t.Errorf("%+v", r)
	}
	if r := (*bench)(nil).do(t, "", "__complete", "can", "anonymous", "getNetworkCli"); !strings.Contains(r.out, "getNetworkClients\n") {
		t.Errorf("completion: %+v", r)
	}
}

// TestEnvironment: a variable stands for each flag, and a flag wins.
func TestEnvironment(t *testing.T) {
	b := newBench(t, sandbox.Options{})
	env := func(values map[string]string) *app {
		return &app{env: func(name string) string { return values[name] }}
	}
	a := env(map[string]string{"MERAKICTL_ADDRESS": b.operators, "MERAKICTL_OUTPUT": "json"})
	r := (*bench)(nil).with(t, a, "budgets")
	if r.code != 0 || !json.Valid([]byte(r.out)) {
		t.Errorf("%+v", r)
	}
	if r := (*bench)(nil).with(t, env(map[string]string{"MERAKICTL_ADDRESS": "127.0.0.1:1"}), "budgets", "--address", b.operators); r.code != 0 {
		t.Errorf("a flag does not win: %+v", r)
	}
	if r := (*bench)(nil).with(t, env(map[string]string{"MERAKICTL_TIMEOUT": "soon"}), "budgets"); r.code != exitMisuse || !strings.Contains(r.err, "MERAKICTL_TIMEOUT") {
		t.Errorf("%+v", r)
	}
}
