package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/merakibroker/merakibroker/service/credential"
	"github.com/merakibroker/merakibroker/service/credential/secretfile"
	"github.com/merakibroker/merakibroker/service/identity"
)

// keyGauges show which configured keys the Dashboard does not take. Names come
// from the configuration, so their number is bounded.
func keyGauges(to prometheus.Registerer, keys *credential.Store) {
	for i, k := range keys.States() {
		to.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "merakibroker_key_rejected", Help: "1 when the Dashboard has answered 401 to every key of the entry within the last minute.",
			ConstLabels: prometheus.Labels{"key": k.Name},
		}, func() float64 {
			if keys.States()[i].Rejected {
				return 1
			}
			return 0
		}))
	}
}

// tokenGauges tell how many keys there are to check tokens with, and how many of the
// issuer's are left out.
func tokenGauges(to prometheus.Registerer, callers *identity.Resolver) {
	to.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "merakibroker_token_keys", Help: "Keys to check tokens with; 0 also where tokens are off.",
		}, func() float64 {
			usable, _ := callers.TokenKeys()
			return float64(usable)
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "merakibroker_token_keys_left_out", Help: "Keys of the issuer's latest document that cannot be used: too weak, broken, secret, or of a type that is not known.",
		}, func() float64 {
			_, leftOut := callers.TokenKeys()
			return float64(leftOut)
		}),
	)
}

// notTakenGauge tells how many files are not in use as they are.
func notTakenGauge(to prometheus.Registerer, files *secretfile.Watcher) {
	to.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "merakibroker_files_not_taken", Help: "Groups of files (keys, certificates, tokens, rules) that have changed and could not be taken; what was read before is in use.",
	}, func() float64 { return float64(len(files.NotTaken())) }))
}

// fileCounter counts what became of the files that are read again. The groups are those
// of the configuration, so their number is bounded.
func fileCounter(to prometheus.Registerer) func(string, secretfile.Outcome) {
	reads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "merakibroker_file_reads_total", Help: "Looks at files that have changed (keys, certificates, tokens, rules), by what became of them: loaded; refused and unreadable leave in use what was read before.",
	}, []string{"files", "outcome"})
	to.MustRegister(reads)
	return func(group string, o secretfile.Outcome) { reads.WithLabelValues(group, o.String()).Inc() }
}
