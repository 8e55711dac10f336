package lint

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql"
)

// metrics are what a scrape finds: "up" alone when the replica does not answer.
func (r *run) metrics() map[string]sample {
	r.t.Helper()
	// What a scrape adds.
	scraped := func(l labels.Labels) labels.Labels {
		return labels.NewBuilder(l).Set("job", "merakibroker").Set("instance", "10.0.0.1:9090").Set("namespace", "infra").Set("pod", "merakibroker-0").Labels()
	}
	up := sample{labels: scraped(labels.FromStrings(labels.MetricName, "up"))}
	out := map[string]sample{up.labels.String(): up}
	answer, err := r.client.Get(r.admin + "/metrics")
	if err != nil {
		return out
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	up.value = 1
	out[up.labels.String()] = up
	kinds := make(map[string]model.MetricType)
	p := textparse.NewPromParser(text, labels.NewSymbolTable(), false)
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			r.t.Fatal(err)
		}
		switch entry {
		case textparse.EntryType:
			name, kind := p.Type()
			kinds[string(name)] = kind
		case textparse.EntrySeries:
			var l labels.Labels
			p.Labels(&l)
			_, _, v := p.Series()
			name := l.Get(labels.MetricName)
			_, bare := kinds[name]
			counter := !bare || kinds[name] == model.MetricTypeCounter // a histogram's series have a suffix
			l = scraped(l)
			out[l.String()] = sample{l, v, counter}
		}
	}
}

// value is that of an organization's series among samples; -1 where there is none.
func value(all map[string]sample, name, organization string) float64 {
	for _, s := range all {
		if s.labels.Get(labels.MetricName) == name && s.labels.Get("organization") == organization {
			return s.value
		}
	}
	return -1
}

// until looks until what it finds is as wanted, and gives it.
func (r *run) until(wanted func(map[string]sample) bool) map[string]sample {
	r.t.Helper()
	for begun := time.Now(); time.Since(begun) < time.Minute; {
		if all := r.metrics(); wanted(all) {
			return all
		}
	}
	r.t.Fatal("the metrics are never as wanted")
	return nil
}

// scrape takes the samples of the next minute.
func (r *run) scrape() {
	r.t.Helper()
	r.put(r.metrics())
}

func (r *run) put(all map[string]sample) {
	r.t.Helper()
	r.now = r.now.Add(step)
	a := r.storage.Appender(context.Background())
	for _, s := range all {
		if _, err := a.Append(0, s.labels, r.now.UnixMilli(), s.value); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := a.Commit(); err != nil {
		r.t.Fatal(err)
	}
	r.before, r.last = r.last, all
}

// goesOn adds samples for a while in which everything goes on as in the last minute: what
// is counted grows as it did, everything else stays.
func (r *run) goesOn(d time.Duration) {
	r.t.Helper()
	grew := make(map[string]float64)
	for series, s := range r.last {
		if was, ok := r.before[series]; ok && s.counter {
			grew[series] = s.value - was.value
		}
	}
	for range d / step {
		next := make(map[string]sample)
		for series, s := range r.last {
			s.value += grew[series]
			next[series] = s
		}
		r.put(next)
	}
}

// query asks at a moment.
func (r *run) query(expr string, at time.Time) promql.Vector {
	r.t.Helper()
	q, err := r.engine.NewInstantQuery(context.Background(), r.storage, nil, expr, at)
	if err != nil {
		r.t.Fatalf("%s: %v", expr, err)
	}
	defer q.Close()
	v, err := q.Exec(context.Background()).Vector()
	if err != nil {
		r.t.Fatalf("%s: %v", expr, err)
	}
	return append(promql.Vector(nil), v...)
}

// firing are the alerts whose conditions have held for as long as they have to.
func (r *run) firing() string {
	r.t.Helper()
	names := []string{}
	for name, rule := range alerts(r.t) {
		fires := true
		for at := r.now.Add(-time.Duration(rule.For)); fires && !at.After(r.now); at = at.Add(step) {
			fires = len(r.query(rule.Expr, at)) > 0
		}
		if fires {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}
