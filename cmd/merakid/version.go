package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/merakibroker/merakibroker/cmd/internal/version"
)

// linkedVersion is set by the build of the image: -ldflags "-X main.linkedVersion=1.2.3".
var linkedVersion = ""

// buildGauge tells Prometheus, so that replicas of two versions can be told apart.
func buildGauge(to prometheus.Registerer) {
	b := version.Of(linkedVersion)
	to.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "merakibroker_build_info", Help: "1; which version this is stands in the labels.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "goversion": b.Go},
	}, func() float64 { return 1 }))
}
