package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/merakibroker/merakibroker/ratelimit/redis"
	"github.com/merakibroker/merakibroker/service/credential"
)

// storeGauges show what an operator has to know of the shared store: while it is
// away nothing fails, and a replica has only its part of every budget.
func storeGauges(to prometheus.Registerer, s *redis.Store) {
	to.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "merakibroker_store_shared", Help: "1 while budgets are shared through the store, 0 while this replica goes on alone.",
		}, func() float64 {
			if s.Stats().Shared {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "merakibroker_store_replicas", Help: "Replicas that share the budgets, as last heard.",
		}, func() float64 { return float64(s.Stats().Replicas) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "merakibroker_store_outages_total", Help: "How often this replica has gone on without the store.",
		}, func() float64 { return float64(s.Stats().Outages) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "merakibroker_store_steps_total", Help: "Round trips to the store for a budget.",
		}, func() float64 { return float64(s.Stats().Steps) }),
	)
}

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
