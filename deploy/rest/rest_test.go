//go:build clients

package rest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// clientsKey is what the clients send as their key. The sandbox does not take it.
const clientsKey = "9876543210987654321098765432109876543210"

// brokersKey is the one that the sandbox takes.
const brokersKey = "0123456789012345678901234567890123456789"

// A stand is a daemon in front of a simulated Dashboard.
type stand struct {
	sandbox *sandbox.Sandbox
	rest    string // base address
}

func newStand(t *testing.T, options sandbox.Options, arguments ...string) *stand {
	t.Helper()
	s := new(stand)
	contracts, err := contract.Load()
	if err != nil {
		t.Fatal(err)
	}
	options.Keys = map[string][]string{brokersKey: nil}
	if s.sandbox, err = sandbox.New(contracts, options); err != nil {
		t.Fatal(err)
	}
	upstream := httptest.NewServer(s.sandbox.Handler())
	t.Cleanup(upstream.Close)
	arguments = append(arguments, "-listen", "127.0.0.1:0", "-admin", "127.0.0.1:0", "-rest", "127.0.0.1:0", "-upstream", upstream.URL+"/api/v1")
	merakid := exec.CommandContext(t.Context(), os.Getenv("MERAKID"), arguments...)
	merakid.Env = append(os.Environ(), "MERAKI_DASHBOARD_API_KEY="+brokersKey)
	out, err := merakid.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := merakid.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = merakid.Wait() }) // after t.Context has ended it
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, at, ok := strings.Cut(lines.Text(), "curl "); ok {
			s.rest = strings.TrimSuffix(at, "/organizations")
			break
		}
	}
	if s.rest == "" {
		t.Fatal("merakid has not said where REST is")
	}
	go func() {
		for lines.Scan() { // so that it is never held up by its log
			continue
		}
	}()
	return s
}

// past gives the User-Agents that have reached the Dashboard beside the broker's.
func (s *stand) past() []string {
	var out []string
	for agent := range s.sandbox.Stats().UserAgents {
		if agent != "MerakiBroker/1.0 MerakiBroker" {
			out = append(out, agent)
		}
	}
	return out
}

// sdk runs sdk.py with a version of the vendor's SDK.
func (s *stand) sdk(t *testing.T, version, mode, action string, arguments ...string) map[string]any {
	t.Helper()
	python := filepath.Join(os.Getenv("CLIENTS"), "meraki-"+version, "bin", "python")
	c := exec.CommandContext(t.Context(), python, append([]string{"sdk.py", s.rest, clientsKey, mode, action}, arguments...)...)
	c.Env = append(os.Environ(), "HOME="+t.TempDir()) // where the SDK keeps what it has looked up
	var failed strings.Builder
	c.Stderr = &failed
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, failed.String())
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var seen map[string]any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &seen); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return seen
}

// each runs a test with both generations of the SDK, synchronous and asynchronous.
func each(t *testing.T, options sandbox.Options, test func(t *testing.T, s *stand, version, mode string)) {
	for _, version := range []string{"4.7.0", "1.54.0"} {
		for _, mode := range []string{"sync", "aio"} {
			t.Run(version+" "+mode, func(t *testing.T) {
				t.Parallel() // they mostly wait for slots
				test(t, newStand(t, options), version, mode)
			})
		}
	}
}

// TestSDK: lists over four pages both ways, as a list and by iterator, a create, an
// update, a delete, a 404 and a 400.
func TestSDK(t *testing.T) {
	each(t, sandbox.Options{NetworksPerOrganization: 11}, func(t *testing.T, s *stand, version, mode string) {
		seen := s.sdk(t, version, mode, "tour")
		iterated := 11.0
		if version == "1.54.0" && mode == "sync" {
			iterated = 9 // its iterator ends before it gives out the last page, whatever the server
		}
		for key, want := range map[string]any{
			"organizations": 3.0, "networks": 11.0, "distinct": 11.0, "backwards": 11.0, "iterated": iterated, "created": true, "updated": true,
			"not_found": 404.0, "not_found_errors": true, "bad_request": 400.0, "bad_request_errors": true,
		} {
			if seen[key] != want {
				t.Errorf("%s: %v, want %v", key, seen[key], want)
			}
		}
		if past := s.past(); len(past) > 0 {
			t.Errorf("requests came past the broker, from %q", past)
		}
	})
}

// TestTwentyThreadsAtTwiceTheBudget: every call is answered, and the Dashboard says
// 429 to none.
func TestTwentyThreadsAtTwiceTheBudget(t *testing.T) {
	each(t, sandbox.Options{}, func(t *testing.T, s *stand, version, mode string) {
		seen := s.sdk(t, version, mode, "load")
		ended, _ := seen["ended"].(map[string]any)
		if len(ended) != 1 || ended["ok"] != seen["calls"] {
			t.Errorf("%v", seen)
		}
		if n := s.sandbox.Stats().Total.LimitedByOrganization; n > 0 {
			t.Errorf("%d 429s at the Dashboard", n)
		}
		if past := s.past(); len(past) > 0 {
			t.Errorf("requests came past the broker, from %q", past)
		}
	})
}

// TestAnsible: a playbook of the collection cisco.meraki lists, creates and sets, and
// changes nothing when it runs again.
func TestAnsible(t *testing.T) {
	s := newStand(t, sandbox.Options{NetworksPerOrganization: 11})
	home := t.TempDir()
	for i, want := range []string{"changed=3", "changed=0"} {
		c := exec.CommandContext(t.Context(), filepath.Join(os.Getenv("CLIENTS"), "meraki-1.54.0", "bin", "ansible-playbook"),
			"--inventory", "localhost,", "--connection", "local", "playbook.yml",
			"--extra-vars", fmt.Sprintf("base=%s key=%s organization=%s device=%s", s.rest, clientsKey, s.sandbox.OrganizationID(0), s.sandbox.Serial(0, 0, 0)))
		c.Env = append(os.Environ(), "HOME="+home, "ANSIBLE_COLLECTIONS_PATH="+filepath.Join(os.Getenv("CLIENTS"), "collections"))
		out, err := c.CombinedOutput()
		if listed := fmt.Sprintf("3 organizations, %d networks, then 12", 11+i); err != nil || !strings.Contains(string(out), want) || !strings.Contains(string(out), listed) {
			t.Fatalf("run %d: %v, want %s and %s\n%s", i+1, err, want, listed, out)
		}
	}
	if past := s.past(); len(past) > 0 {
		t.Errorf("requests came past the broker, from %q", past)
	}
}

// TestSmartFlow: what the newer SDK looks up about owners before it asks for anything
// is answered from what the broker knows, within the max_age of the caller's rule: the
// second process and the third cost what they ask for and nothing else.
func TestSmartFlow(t *testing.T) {
	file := filepath.Join(t.TempDir(), "merakid.yaml")
	if err := os.WriteFile(file, []byte(`
identity: {path: {trusted: [127.0.0.0/8]}}
policy:
  - name: sdk
    callers: ["as:sdk"]
    operations: [{section: "*", verbs: [read]}, {rpc: Call, verbs: [read]}]
    organizations: ["*"]
    defaults: {max_age: 10m}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newStand(t, sandbox.Options{NetworksPerOrganization: 11}, "-config", file)
	s.rest = strings.Replace(s.rest, "/api/v1", "/as/sdk/api/v1", 1)
	var cost []int
	for _, operation := range []string{"getNetworkAlertsSettings", "getNetworkSyslogServers", "getNetworkSettings"} {
		before := s.sandbox.Stats().Total.Arrived
		if seen := s.sdk(t, "4.7.0", "sync", "smart", s.sandbox.NetworkID(0, 0), operation); seen["ok"] != true {
			t.Fatalf("%s: %v", operation, seen)
		}
		cost = append(cost, s.sandbox.Stats().Total.Arrived-before)
	}
	// The call, the network, the organization's networks and its inventory.
	if cost[0] > 5 || cost[1] != 1 || cost[2] != 1 {
		t.Errorf("requests at the Dashboard, by process: %v", cost)
	}
}

// TestCurl: both headers in which keys are sent, one by one and together.
func TestCurl(t *testing.T) {
	s := newStand(t, sandbox.Options{})
	const bearer, older = "Authorization: Bearer " + clientsKey, "X-Cisco-Meraki-API-Key: " + clientsKey
	for _, headers := range [][]string{{bearer}, {older}, {bearer, older}} {
		arguments := []string{"--silent", "--show-error", "--fail", "--max-time", "20", s.rest + "/organizations"}
		for _, h := range headers {
			arguments = append(arguments, "--header", h)
		}
		out, err := exec.CommandContext(t.Context(), "curl", arguments...).Output()
		var rows []any
		if err != nil || json.Unmarshal(out, &rows) != nil || len(rows) != 3 {
			t.Errorf("%q: %v %s", headers, err, out)
		}
	}
}
