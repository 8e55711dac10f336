package main

import (
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/merakibroker/merakibroker/cmd/internal/config"
	"github.com/merakibroker/merakibroker/service/audit"
)

// standardOutput is what the configuration calls it.
const standardOutput = "stdout"

// auditOf is the log of writes; nil where it is off.
func auditOf(c *config.Config, to prometheus.Registerer, log *slog.Logger) (*audit.Log, error) {
	if c.Audit.To == "" {
		return nil, nil
	}
	var destination audit.Destination = audit.Stream{Writer: os.Stdout}
	if c.Audit.To != standardOutput {
		destination = audit.NewFile(c.Audit.To)
	}
	l, err := audit.New(audit.Config{To: destination, Reads: c.Audit.Reads, Insist: c.Audit.Required, Log: log})
	if err != nil {
		return nil, err
	}
	to.MustRegister(
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "merakibroker_audit_lost_total", Help: "Lines of the log of writes that could be neither written nor kept.",
		}, func() float64 { lost, _ := l.Lost(); return float64(lost) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "merakibroker_audit_waiting_bytes", Help: "Lines of the log of writes that wait until it can be written again.",
		}, func() float64 { _, waiting := l.Lost(); return float64(waiting) }),
	)
	return l, nil
}
