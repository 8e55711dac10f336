package deploy_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc/codes"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/credential/secretfile"
	"github.com/merakibroker/merakibroker/service/fault"
)

// ofDaemon are the metrics that cmd/merakid adds for the store, keys and files, in its
// source: a program cannot be imported.
func ofDaemon(t *testing.T, metrics map[string][]string) {
	t.Helper()
	files, err := filepath.Glob("../cmd/merakid/*.go")
	if err != nil {
		t.Fatal(err)
	}
	form := regexp.MustCompile(`Name: "(merakibroker_[a-z_]+)"`)
	n := len(metrics)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range form.FindAllStringSubmatch(string(text), -1) {
			metrics[m[1]] = []string{"key", "files", "outcome", "scope"}
		}
	}
	if len(metrics) < n+5 {
		t.Fatalf("found %d metrics of merakid's own; the reading is broken", len(metrics)-n)
	}
}

// described is what the registry promises: the labels of each metric by name.
func described(t *testing.T) map[string][]string {
	t.Helper()
	ch := make(chan *prometheus.Desc)
	go func() {
		service.NewMetrics().Registry().Describe(ch)
		close(ch)
	}()
	form := regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)
	metrics := make(map[string][]string)
	for d := range ch {
		m := form.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("cannot read %s", d)
		}
		metrics[m[1]] = strings.Split(m[2], ",")
	}
	if metrics["merakibroker_calls_total"] == nil {
		t.Fatalf("no merakibroker_calls_total among %d metrics; the reading is broken", len(metrics))
	}
	ofDaemon(t, metrics)
	return metrics
}

// TestEveryAlertHasItsSection in docs/oncall.md, which says what to do, and leads to it.
func TestEveryAlertHasItsSection(t *testing.T) {
	text, err := os.ReadFile("../docs/oncall.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := make(map[string]string)
	for _, part := range strings.Split(string(text), "\n## ")[1:] {
		title, body, _ := strings.Cut(part, "\n")
		sections[title] = body
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert       string
				Annotations map[string]string
			}
		}
	}
	rules, err := os.ReadFile("alerts/merakibroker.yaml")
	if err == nil {
		err = yaml.Unmarshal(rules, &file)
	}
	if err != nil || len(file.Groups) != 1 {
		t.Fatal(err, len(file.Groups))
	}
	for _, r := range file.Groups[0].Rules {
		for _, want := range []string{"- **Means**:", "- **Look at**:", "- **Do**:"} {
			if !strings.Contains(sections[r.Alert], want) {
				t.Errorf("docs/oncall.md on %s: no %q", r.Alert, want)
			}
		}
		if !strings.HasSuffix(r.Annotations["runbook_url"], "/docs/oncall.md#"+strings.ToLower(r.Alert)) {
			t.Errorf("%s leads to %q", r.Alert, r.Annotations["runbook_url"])
		}
		delete(sections, r.Alert)
	}
	for title := range sections {
		t.Errorf("docs/oncall.md has %q, and no alert is called so", title)
	}
}

// queries are all PromQL expressions below deploy/, by where they stand.
func queries(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	for _, pattern := range []string{"alerts/*.yaml", "metrics-adapter/*.yaml", "grafana/*.json"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %d files", pattern, err, len(files))
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var doc any
			if filepath.Ext(file) == ".json" {
				err = json.Unmarshal(text, &doc)
			} else {
				err = yaml.Unmarshal(text, &doc)
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			collect(doc, file, found)
		}
	}
	if len(found) < 20 {
		t.Fatalf("found only %d queries", len(found))
	}
	return found
}

func collect(v any, at string, found map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if s, ok := value.(string); ok && slices.Contains([]string{"expr", "seriesQuery", "metricsQuery", "query"}, key) && strings.ContainsAny(s, "_(") {
				found[at+" "+s] = s
				continue
			}
			collect(value, at, found)
		}
	case []any:
		for _, value := range v {
			collect(value, at, found)
		}
	}
}

var (
	selector = regexp.MustCompile(`([a-z_][a-z0-9_]*)\{([^}]*)\}`)
	matcher  = regexp.MustCompile(`([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	name     = regexp.MustCompile(`\b(merakibroker|process|go)_[a-z0-9_]+\b`)
	grouping = regexp.MustCompile(`\b(?:by|without)\s*\(([a-z_, ]*)\)`)
	quoted   = regexp.MustCompile(`"[^"]*"`)
)

// added are labels that Prometheus, not the broker, puts on.
var added = []string{"job", "instance", "namespace", "pod", "le"}

// TestQueriesAskForWhatIs: rules and dashboards name only metrics, labels and
// values that the broker has.
func TestQueriesAskForWhatIs(t *testing.T) {
	metrics := described(t)
	values := map[string][]string{}
	for o := fault.NoOutcome; !strings.HasPrefix(o.String(), "outcome "); o++ {
		values["merakibroker_attempts_total outcome"] = append(values["merakibroker_attempts_total outcome"], o.String())
	}
	for _, p := range []ratelimit.Priority{ratelimit.Critical, ratelimit.Normal, ratelimit.Bulk} {
		values["priority"] = append(values["priority"], p.String())
	}
	for c := codes.OK; c <= codes.Unauthenticated; c++ {
		values["code"] = append(values["code"], c.String())
	}
	for o := secretfile.Loaded; o <= secretfile.Refused; o++ {
		values["merakibroker_file_reads_total outcome"] = append(values["merakibroker_file_reads_total outcome"], o.String())
	}
	values["merakibroker_batches_total outcome"] = []string{"done", "failed", "refused", "valid", "unsent", "dropped", "pending", "unknown"} // service/batch/ending.go
	all := slices.Clone(added)
	for _, labels := range metrics {
		all = append(all, labels...)
	}
	for at, query := range queries(t) {
		for _, n := range name.FindAllString(quoted.ReplaceAllString(query, `""`), -1) {
			if base(metrics, n) == "" {
				t.Errorf("%s\n\tasks for %s, which the broker does not have", at, n)
			}
		}
		for _, s := range selector.FindAllStringSubmatch(query, -1) {
			metric := base(metrics, s[1])
			for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
				label, value := m[1], m[3]
				if metric != "" && !slices.Contains(metrics[metric], label) && !slices.Contains(added, label) {
					t.Errorf("%s\n\t%s has no label %s", at, s[1], label)
				}
				for _, v := range strings.Split(value, "|") {
					known := values[metric+" "+label]
					if known == nil {
						known = values[label]
					}
					if known != nil && !slices.Contains(known, v) {
						t.Errorf("%s\n\t%s is never %q", at, label, v)
					}
				}
			}
		}
		for _, g := range grouping.FindAllStringSubmatch(query, -1) {
			for _, label := range strings.FieldsFunc(g[1], func(r rune) bool { return r == ',' || r == ' ' }) {
				if !slices.Contains(all, label) {
					t.Errorf("%s\n\tgroups by %s, which no metric has", at, label)
				}
			}
		}
	}
}

// base is the metric that a series belongs to: a histogram has three. Empty when
// there is none.
func base(metrics map[string][]string, series string) string {
	if _, ok := metrics[series]; ok && !strings.HasSuffix(series, "_seconds") {
		return series
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if n, ok := strings.CutSuffix(series, suffix); ok && metrics[n] != nil && strings.HasSuffix(n, "_seconds") {
			return n
		}
	}
	return ""
}
