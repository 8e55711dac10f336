package lint

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/rulefmt"
)

// rendered is the chart with everything switched on, by kind and name. HELM names the
// program; deploy/check gives it.
func rendered(t *testing.T) map[string]json.RawMessage {
	t.Helper()
	chart := "../helm/merakibroker"
	command := exec.Command(os.Getenv("HELM"), "template", "merakibroker", chart, "--namespace", "infra", "--kube-version", "1.37.0", "-f", chart+"/ci/monitored-values.yaml")
	var said bytes.Buffer
	command.Stderr = &said
	text, err := command.Output()
	if err != nil {
		t.Fatalf("helm template (make manifests says where Helm is): %v\n%s", err, &said)
	}
	all := make(map[string]json.RawMessage)
	for _, doc := range documents(t, text) {
		var resource struct {
			Kind     string
			Metadata struct{ Name, Namespace string }
		}
		if err := json.Unmarshal(doc, &resource); err != nil {
			t.Fatal(err)
		}
		all[resource.Kind+" "+resource.Metadata.Name] = doc
	}
	return all
}

// strictly reads a resource into a type that has all the fields that it may have.
func strictly(t *testing.T, resource json.RawMessage, into any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(resource))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Errorf("%v in %s", err, resource)
	}
}

// metadata is that of a resource for an operator or a sidecar that selects by labels.
type metadata struct {
	Name   string
	Labels map[string]string
}

// TestMonitored: what the chart makes for Prometheus's operator and for Grafana holds
// together with the pods, and is what deploy/ ships without the chart.
func TestMonitored(t *testing.T) {
	t.Parallel()
	all := rendered(t)
	var pods struct {
		Spec struct {
			Template struct {
				Metadata struct{ Labels, Annotations map[string]string }
				Spec     struct {
					PriorityClassName string
					Containers        []struct {
						Env   []map[string]string
						Ports []struct{ Name string }
					}
				}
			}
		}
	}
	if err := json.Unmarshal(all["Deployment merakibroker"], &pods); err != nil {
		t.Fatal(err)
	}
	labels, spec := pods.Spec.Template.Metadata.Labels, pods.Spec.Template.Spec
	if spec.PriorityClassName != "system-cluster-critical" || len(spec.Containers[0].Env) != 1 || spec.Containers[0].Env[0]["name"] != "HTTPS_PROXY" || pods.Spec.Template.Metadata.Annotations["prometheus.io/scrape"] != "" {
		t.Errorf("the pods are %+v", pods)
	}

	// The fields of the operator's PodMonitor that the chart uses, by its documentation.
	var monitor struct {
		APIVersion, Kind string
		Metadata         metadata
		Spec             struct {
			JobLabel            string
			Selector            struct{ MatchLabels map[string]string }
			PodMetricsEndpoints []struct{ Port, Path, Interval string }
		}
	}
	strictly(t, all["PodMonitor merakibroker"], &monitor)
	for key, value := range monitor.Spec.Selector.MatchLabels {
		if labels[key] != value {
			t.Errorf("the PodMonitor selects %s=%s, the pods have %v", key, value, labels)
		}
	}
	ports := ""
	for _, p := range spec.Containers[0].Ports {
		ports += p.Name + " "
	}
	end := monitor.Spec.PodMetricsEndpoints
	if len(end) != 1 || ports != "grpc admin rest " || end[0].Port != "admin" || end[0].Path != "/metrics" || monitor.Metadata.Labels["release"] != "prometheus" {
		t.Errorf("%+v scrapes %s", monitor, ports)
	}
	// MerakiBrokerDown goes by the job.
	if job := labels[monitor.Spec.JobLabel]; !strings.Contains(job, "merakibroker") {
		t.Errorf("the job is %q", job)
	}

	var rule struct {
		APIVersion, Kind string
		Metadata         metadata
		Spec             json.RawMessage
	}
	strictly(t, all["PrometheusRule merakibroker"], &rule)
	groups, errs := rulefmt.Parse(rule.Spec, false)
	for _, err := range errs {
		t.Error(err)
	}
	own := alerts(t)
	n := 0
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			if n++; own[r.Alert].Expr != r.Expr || own[r.Alert].Annotations["runbook_url"] != r.Annotations["runbook_url"] {
				t.Errorf("%s is another one than in deploy/alerts", r.Alert)
			}
		}
	}
	if n != len(own) {
		t.Errorf("%d rules, deploy/alerts has %d", n, len(own))
	}

	var board struct {
		Metadata metadata
		Data     map[string]string
	}
	if err := json.Unmarshal(all["ConfigMap merakibroker-dashboard"], &board); err != nil {
		t.Fatal(err)
	}
	shipped, err := os.ReadFile("../grafana/merakibroker.json")
	if err != nil {
		t.Fatal(err)
	}
	if board.Data["merakibroker.json"] != string(shipped) || board.Metadata.Labels["grafana_dashboard"] != "1" {
		t.Errorf("the dashboard is another one than in deploy/grafana: %v, %d bytes", board.Metadata, len(board.Data["merakibroker.json"]))
	}
}

// TestEgress: names, the Dashboard, the store, the collector, and what the values add;
// nothing else.
func TestEgress(t *testing.T) {
	t.Parallel()
	var policy struct {
		Spec struct {
			PolicyTypes []string
			Egress      []struct {
				To    []any
				Ports []struct {
					Port     int
					Protocol string
				}
			}
		}
	}
	if err := json.Unmarshal(rendered(t)["NetworkPolicy merakibroker"], &policy); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, rule := range policy.Spec.Egress {
		for _, p := range rule.Ports {
			port, err := json.Marshal([]any{len(rule.To) > 0, p.Port, p.Protocol})
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(port))
		}
	}
	want := `[false,53,"UDP"] [false,53,"TCP"] [false,443,"TCP"] [false,6379,"TCP"] [false,4317,"TCP"] [true,15012,"TCP"]`
	if strings.Join(got, " ") != want || strings.Join(policy.Spec.PolicyTypes, " ") != "Ingress Egress" {
		t.Errorf("egress is %v", got)
	}
}
