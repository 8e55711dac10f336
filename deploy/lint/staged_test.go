package lint

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// TestAlertsOfARun: what goes wrong in a run calls, and nothing else does. How often
// something happens in a minute is staged; that it goes on for hours is reckoned.
//
// Not staged: MerakiBrokerSlowQueue, since a wait of five seconds takes as long.
// TestAlertsFire has it.
func TestAlertsOfARun(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		configuration string
		// minute is what happens in each of the minutes in which something is wrong.
		minute func(t *testing.T, r *run)
		want   string
	}{
		{"the key is revoked and the new one is none", "", func(_ *testing.T, r *run) {
			r.file("key", "rubbish\nof two lines")
			r.tell("POST", "faults", `{"faults":[{"kind":"status","status":401}],"times":-1}`)
			before := total(r.metrics(), "merakibroker_file_reads_total")
			// A 401 has the broker look at its files.
			r.until(func(all map[string]sample) bool {
				r.calls(1, "alice", "/organizations", 403)
				return total(all, "merakibroker_file_reads_total") > before
			})
		}, "MerakiBrokerFileRefused MerakiBrokerKeyEntryRejected MerakiBrokerKeyRejected"},
		{"502s", "", failing(`{"kind":"status","status":502,"body":"html"}`), "MerakiDashboardUnreachable"},
		{"resets", "", failing(`{"kind":"reset"}`), "MerakiDashboardUnreachable"},
		{"500s", "", failing(`{"kind":"status","status":500}`), "MerakiBrokerFails MerakiDashboardErrors"},
		{"someone else spends", "", func(_ *testing.T, r *run) {
			one := organization(r)
			r.calls(60, "alice", one+"/devices", 200)
			r.tell("POST", "faults", fmt.Sprintf(`{"path":%q,"faults":[{"kind":"status","status":429}],"times":3}`, one+"/admins"))
			r.calls(3, "bob", one+"/admins", 0) // at once, so that one stop is all that it takes
		}, "MerakiBrokerRateLimited"},
		{"no budget in time", "", func(_ *testing.T, r *run) {
			one := organization(r)
			r.tell("POST", "faults", fmt.Sprintf(`{"path":%q,"faults":[{"kind":"status","status":429,"retryAfter":"300"}]}`, one+"/devices"))
			r.calls(1, "hasty", one+"/devices", 429)
			r.calls(20, "hasty", one+"/devices", 429)
		}, "MerakiBudgetShort"},
		{"the log of writes is full", "audit: {to: /dev/full}", func(t *testing.T, r *run) {
			_, networks := r.world()
			r.ctl(renames(networks[0][:1]), 0, "apply", "-")
		}, "MerakiBrokerAuditNotWritten"},
		{"the issuer has a weak key", "identity: {path: {trusted: [127.0.0.1]}, token: {keys_file: DIR/jwks, issuer: test, audiences: [broker]}}", func(*testing.T, *run) {}, "MerakiBrokerTokenKeysLeftOut"},
		{"batches fail", "", func(_ *testing.T, r *run) {
			_, networks := r.world()
			r.tell("POST", "rejections", `{"contains":"renamed 0","messages":["Name is taken"]}`)
			for range 6 {
				r.ctl(renames(networks[0][:4]), 10, "apply", "-")
			}
		}, "MerakiBrokerBatchesFail"},
		{"answers do not fit", "", func(_ *testing.T, r *run) {
			_, networks := r.world()
			r.damages(`"timeZone":"Europe/Berlin"`, `"timeZone":{}`)
			r.ctl(renames(networks[0]), 0, "apply", "-", "--read-back")
		}, "MerakiContractDrift"},
		{"an operator holds writes", "", func(_ *testing.T, r *run) {
			r.ctl("", 0, "hold", "writes", "--for", "24h", "--reason", "a test")
		}, "MerakiBrokerHoldLasts"},
		{"it is killed", "", func(_ *testing.T, r *run) {
			_ = r.daemon.Process.Kill()
			_, _ = r.daemon.Process.Wait()
		}, "MerakiBrokerDown"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRun(t, tt.configuration)
			good := func() {
				r.calls(5, "alice", organization(r)+"/networks", 200)
				r.scrape()
			}
			good()
			good()
			for range 3 {
				tt.minute(t, r)
				r.scrape()
			}
			r.goesOn(2 * time.Hour)
			if got := r.firing(); got != tt.want {
				t.Errorf("calls: %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("a replica has lost the store", func(t *testing.T) {
		t.Parallel()
		store, end := newStore(t)
		r := newRun(t, "store: {addresses: ['"+store+"'], replicas: 2}\n")
		r.until(func(all map[string]sample) bool { return total(all, "merakibroker_store_shared") == 1 })
		r.scrape()
		end()
		r.calls(1, "alice", organization(r)+"/networks", 200)
		r.put(r.until(func(all map[string]sample) bool { return total(all, "merakibroker_store_shared") == 0 }))
		r.goesOn(2 * time.Hour)
		if got := r.firing(); got != "MerakiBrokerStoreLost" {
			t.Errorf("calls: %q", got)
		}
	})
}

// failing is a minute in which every request fails as the fault says.
func failing(fault string) func(*testing.T, *run) {
	return func(_ *testing.T, r *run) {
		r.tell("PUT", "faults", `{"share":1,"kinds":[`+fault+`]}`)
		r.calls(60, "alice", organization(r)+"/devices", 0)
	}
}

func organization(r *run) string {
	organizations, _ := r.world()
	return "/organizations/" + organizations[0]
}

// total adds up the series of a metric.
func total(all map[string]sample, name string) (sum float64) {
	for _, s := range all {
		if s.labels.Get(labels.MetricName) == name {
			sum += s.value
		}
	}
	return sum
}

// keySet has a key that counts and one that is too weak to.
func keySet(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	text := base64.RawURLEncoding.EncodeToString
	return fmt.Sprintf(`{"keys":[{"kty":"EC","kid":"good","crv":"P-256","x":%q,"y":%q},{"kty":"oct","kid":"secret","k":%q}]}`, text(point[1:33]), text(point[33:]), text(point))
}
