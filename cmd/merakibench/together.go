package main

import (
	"context"
	"fmt"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
)

// together asks what it brings that existing clients share the budget over REST.
func together(ctx context.Context, r *run) error {
	v, err := r.venv(ctx)
	if err != nil {
		return err
	}
	const libraries = 3
	reads := r.number(1000, 160)
	var ways []way
	for _, w := range []way{{name: "apart", libraries: libraries}, {name: "together", libraries: libraries, rest: true}} {
		if err := w.read(ctx, r, v, reads); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		ways = append(ways, w)
		r.close() // the next one has a sandbox of its own
	}
	apart, all := ways[0], ways[1]
	r.figure("time to finish, apart / together", figure.Per(apart.took.Seconds(), all.took.Seconds()), figure.Ratio, figure.Aim{})
	r.figure("time to finish, together", all.took.Seconds(), figure.Seconds, figure.AtMost(float64(reads)/budgetRate*1.02))
	r.figure("time to finish, apart", apart.took.Seconds(), figure.Seconds, figure.Aim{})
	r.figure("time that the budget allows: reads / 10", float64(reads)/budgetRate, figure.Seconds, figure.Aim{})
	r.figure("429s, together", float64(all.limited), figure.Count, figure.AtMost(0))
	r.figure("429s, apart", float64(apart.limited), figure.Count, figure.Aim{})
	r.figure("requests for each answer, together", all.perAnswer(), figure.Count, figure.AtMost(1))
	r.figure("requests for each answer, apart", apart.perAnswer(), figure.Count, figure.Aim{})
	r.figure("a read, p99, together", all.reads.Percentile(99), figure.Seconds, figure.Aim{})
	r.figure("a read, p99, apart", apart.reads.Percentile(99), figure.Seconds, figure.Aim{})
	r.figure("errors that the application saw, together", float64(all.lost), figure.Count, figure.Aim{})
	r.figure("errors that the application saw, apart", float64(apart.lost), figure.Count, figure.Aim{})
	r.note("%s; the library with its own defaults. Apart: %d processes of the library straight at the Dashboard, %d gRPC clients through the broker. Together: all through the broker, the library by its base address alone. %d reads in all, one device after another.", v.versions, libraries, processes-libraries, reads)
	return nil
}
