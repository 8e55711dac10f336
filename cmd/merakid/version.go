package main

import (
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// version is set by the build of the image: -ldflags "-X main.version=1.2.3".
var version = ""

// A buildInfo is what this program was built from.
type buildInfo struct{ version, revision, goVersion string }

// buildOf reads what the linker and Go have put into the program.
func buildOf() buildInfo {
	b := buildInfo{version: version, revision: "unknown", goVersion: "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.goVersion = info.GoVersion
	if b.version == "" {
		b.version = strings.Trim(info.Main.Version, "()")
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			b.revision += " with changes"
		}
	}
	return b
}

// String is one line.
func (b buildInfo) String() string {
	return fmt.Sprintf("merakid %s, revision %s, %s", b.version, b.revision, b.goVersion)
}

// buildGauge tells Prometheus, so that replicas of two versions can be told apart.
func buildGauge(to prometheus.Registerer) {
	b := buildOf()
	to.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "merakibroker_build_info", Help: "1; which version this is stands in the labels.",
		ConstLabels: prometheus.Labels{"version": b.version, "revision": b.revision, "goversion": b.goVersion},
	}, func() float64 { return 1 }))
}
