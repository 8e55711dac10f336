package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/merakibroker/merakibroker/service/credential"
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
