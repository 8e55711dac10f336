package lint

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/promqltest"
)

// TestRulesAreRules parses the rules as Prometheus does, templates included.
func TestRulesAreRules(t *testing.T) {
	if len(alerts(t)) < 5 {
		t.Error("hardly any alert")
	}
}

func alerts(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile("../alerts/merakibroker.yaml", false)
	for _, err := range errs {
		t.Error(err)
	}
	if t.Failed() {
		t.FailNow()
	}
	byName := make(map[string]rulefmt.Rule)
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			byName[r.Alert] = r
		}
	}
	return byName
}

// TestAlertsFire loads what a broker would report, one sample a minute for half
// an hour, and asks which alerts' conditions hold at the end.
func TestAlertsFire(t *testing.T) {
	const well = `
		up{job="merakibroker"} 1x30
		merakibroker_calls_total{operation="getNetwork",code="OK"} 0+600x30
		merakibroker_attempts_total{operation="getNetwork",outcome="ok"} 0+600x30
		merakibroker_queue_seconds_bucket{budget="organization",priority="normal",le="0.1"} 0+600x30
		merakibroker_queue_seconds_bucket{budget="organization",priority="normal",le="+Inf"} 0+600x30`
	tests := []struct {
		name, series, want string
	}{
		{"well", well, ""},
		{"nothing at all", "", "MerakiBrokerDown"},
		{"a refusal here and there", well + `
		merakibroker_refusals_total{budget="organization",priority="normal",why="deadline"} 0+5x30`, ""},
		{"a batch job waits, as it should", well + `
		merakibroker_refusals_total{budget="organization",priority="bulk",why="deadline"} 0+300x30
		merakibroker_queue_seconds_bucket{budget="organization",priority="bulk",le="10"} 0+0x30
		merakibroker_queue_seconds_bucket{budget="organization",priority="bulk",le="+Inf"} 0+600x30`, ""},
		{"short of budget", well + `
		merakibroker_refusals_total{budget="organization",priority="normal",why="deadline"} 0+90x30`, "MerakiBudgetShort"},
		{"slow", well + `
		merakibroker_queue_seconds_bucket{budget="organization",priority="critical",le="5"} 0+0x30
		merakibroker_queue_seconds_bucket{budget="organization",priority="critical",le="10"} 0+60x30
		merakibroker_queue_seconds_bucket{budget="organization",priority="critical",le="+Inf"} 0+60x30`, "MerakiBrokerSlowQueue"},
		{"502s and resets", well + `
		merakibroker_attempts_total{operation="getNetwork",outcome="gateway_error"} 0+30x30
		merakibroker_attempts_total{operation="getNetwork",outcome="reset"} 0+30x30`, "MerakiDashboardUnreachable"},
		{"500s", well + `
		merakibroker_attempts_total{operation="getNetwork",outcome="server_error"} 0+30x30`, "MerakiDashboardErrors"},
		{"someone else spends", well + `
		merakibroker_attempts_total{operation="getNetwork",outcome="rate_limited"} 0+30x30`, "MerakiBrokerRateLimited"},
		{"the key is gone", well + `
		merakibroker_calls_total{operation="getNetwork",code="FailedPrecondition"} 0+1x30`, "MerakiBrokerKeyRejected"},
		{"over REST the key is gone", well + `
		merakibroker_rest_requests_total{status="403",reason="API_KEY_REJECTED"} 0+1x30`, "MerakiBrokerKeyRejected"},
		{"a client's own key is none", well + `
		merakibroker_rest_requests_total{status="401",reason="API_KEY_REJECTED"} 0+1x30`, ""},
		{"over REST alone short of budget", `
		up{job="merakibroker"} 1x30
		merakibroker_rest_requests_total{status="200",reason=""} 0+600x30
		merakibroker_refusals_total{budget="organization",priority="normal",why="deadline"} 0+90x30`, "MerakiBudgetShort"},
		{"over REST answers that are none", well + `
		merakibroker_rest_requests_total{status="502",reason="MALFORMED_RESPONSE"} 0+30x30`, "MerakiBrokerFails"},
		{"an operator holds writes", well + `
		merakibroker_holds{scope="caller_bulk"} 0x30
		merakibroker_holds{scope="all_writes"} 1x30`, "MerakiBrokerHoldLasts"},
		{"internal", well + `
		merakibroker_calls_total{operation="getNetwork",code="Internal"} 0+30x30`, "MerakiBrokerFails"},
		{"drift", well + `
		merakibroker_drift_total{operation="getNetwork",kind="left_out"} 0+600x30`, "MerakiContractDrift"},
		{"one entry's key is gone", well + `
		merakibroker_key_rejected{key="main"} 0x30
		merakibroker_key_rejected{key="lab"} 1x30`, "MerakiBrokerKeyEntryRejected"},
		{"one replica is alone", well + `
		merakibroker_store_shared{pod="a"} 1x30
		merakibroker_store_shared{pod="b"} 0x30`, "MerakiBrokerStoreLost"},
		{"a file is refused", well + `
		merakibroker_file_reads_total{files="rules",outcome="loaded"} 0+1x30
		merakibroker_file_reads_total{files="rules",outcome="refused"} 0+1x30`, "MerakiBrokerFileRefused"},
		{"the disk of the log of writes is full", well + `
		merakibroker_audit_lost_total 0x30
		merakibroker_audit_waiting_bytes{pod="a"} 0x30
		merakibroker_audit_waiting_bytes{pod="b"} 0+1000x30`, "MerakiBrokerAuditNotWritten"},
		{"a weak key at the issuer", well + `
		merakibroker_token_keys_left_out 1x30`, "MerakiBrokerTokenKeysLeftOut"},
		{"a batch fails here and there", well + `
		merakibroker_batches_total{outcome="done"} 0+9x30
		merakibroker_batches_total{outcome="failed"} 0+1x30`, ""},
		{"batches fail", well + `
		merakibroker_batches_total{outcome="done"} 0+2x30
		merakibroker_batches_total{outcome="failed"} 0+2x30`, "MerakiBrokerBatchesFail"},
	}
	rules := alerts(t)
	covered := make(map[string]bool)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			storage := promqltest.LoadedStorage(t, "load 1m"+tt.series)
			t.Cleanup(func() { _ = storage.Close() })
			engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
			for name, rule := range rules {
				q, err := engine.NewInstantQuery(context.Background(), storage, nil, rule.Expr, time.Unix(30*60, 0))
				if err != nil {
					t.Fatal(err)
				}
				v, err := q.Exec(context.Background()).Vector()
				q.Close()
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if fires := len(v) > 0; fires != (name == tt.want) {
					t.Errorf("%s holds: %v (%v)", name, fires, v)
				}
			}
			covered[tt.want] = true
		})
	}
	for name := range rules {
		if !covered[name] {
			t.Errorf("no case makes %s fire", name)
		}
	}
}
