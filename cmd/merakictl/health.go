package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
)

func (a *app) health() *cobra.Command {
	c := &cobra.Command{
		Use:   "health [ORGANIZATION]",
		Short: "How the Dashboard has been answering: is it us or them",
		Long: `How the Dashboard has been answering, over all and by organization, with a verdict and
what to do. NEVER ARRIVED are attempts that the vendor's own telemetry cannot show: 502,
503, 504, resets and timeouts. It exits with 10 where the verdict on the newest window
over all is not OK.`,
		Args: between(0, "ORGANIZATION"),
	}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, client, done, err := ask(a, cmd.Context(), brokerv1.NewBrokerServiceClient)
		if err != nil {
			return err
		}
		defer done()
		in := new(brokerv1.GetUpstreamHealthRequest)
		if len(args) > 0 {
			in.OrganizationId = args[0]
		}
		h, err := client.GetUpstreamHealth(ctx, in)
		if err != nil {
			return err
		}
		if err := a.show(healthTable(h), h); err != nil {
			return err
		}
		if a.output != "json" {
			a.advise(h)
		}
		if len(h.GetOverall()) > 0 && !well(h.GetOverall()[0]) {
			return verdict(exitNotWell)
		}
		return nil
	}
	return c
}

// well tells whether a window's verdict is no reason to worry.
func well(w *brokerv1.HealthWindow) bool {
	return w.GetVerdict() == brokerv1.HealthVerdict_HEALTH_VERDICT_OK || w.GetVerdict() == brokerv1.HealthVerdict_HEALTH_VERDICT_TOO_FEW
}

// verdictWord is a verdict as people read it: OK, TOO FEW, SERVER ERRORS.
func verdictWord(v brokerv1.HealthVerdict) string {
	return strings.ReplaceAll(strings.TrimPrefix(v.String(), "HEALTH_VERDICT_"), "_", " ")
}

func healthTable(h *brokerv1.UpstreamHealth) *table {
	t := newTable("ORGANIZATION", "LAST", "ATTEMPTS", "5XX", "NEVER ARRIVED", "SHARE", "VERDICT")
	add := func(name string, windows []*brokerv1.HealthWindow) {
		for _, w := range windows {
			color := noPaint
			if !well(w) {
				color = red
			}
			t.paint(color, name, span(w.GetWindow().AsDuration()), number(w.GetAttempts()), number(w.GetServerErrors()), number(w.GetNeverArrived()),
				fmt.Sprintf("%.1f %%", 100*w.GetErrorShare()), verdictWord(w.GetVerdict()))
		}
	}
	add("(all)", h.GetOverall())
	for _, o := range h.GetOrganizations() {
		add(o.GetOrganizationId(), o.GetWindows())
	}
	return t
}

// advise says what to do, once for each advice.
func (a *app) advise(h *brokerv1.UpstreamHealth) {
	said := make(map[string]bool)
	for _, w := range h.GetOverall() {
		if text := w.GetAdvice(); text != "" && !well(w) && !said[text] {
			said[text] = true
			fmt.Fprintf(a.out, "\n%s\n", plain(text))
			if ids := w.GetRequestIds(); len(ids) > 0 {
				fmt.Fprintf(a.out, "Request ids, for the vendor's support: %s\n", plain(strings.Join(ids, ", ")))
			}
		}
	}
}

func (a *app) compare() *cobra.Command {
	var window time.Duration
	c := &cobra.Command{
		Use:   "compare ORGANIZATION",
		Short: "Our count of requests beside the Dashboard's own",
		Long: `Our count of requests beside the vendor's own telemetry, by HTTP status: the difference is
what never reached the Dashboard. Spends one request of the organization.`,
		Args: exactly("ORGANIZATION"),
	}
	c.Flags().DurationVar(&window, "window", time.Hour, "how far back; 24h at the most")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, client, done, err := ask(a, cmd.Context(), brokerv1.NewBrokerServiceClient)
		if err != nil {
			return err
		}
		defer done()
		r, err := client.CompareTelemetry(ctx, &brokerv1.CompareTelemetryRequest{OrganizationId: args[0], Window: durationpb.New(window)})
		if err != nil {
			return err
		}
		if r.GetStartTime() == nil && a.output != "json" {
			fmt.Fprintln(a.out, "There is nothing to compare yet. The vendor counts in intervals of two minutes, and the broker has to have run for a whole one.")
			return nil
		}
		t := newTable("HTTP STATUS", "OURS", "THEIRS")
		for _, n := range r.GetCounts() {
			name := fmt.Sprint(n.GetHttpStatus())
			if n.GetHttpStatus() == 0 {
				name = "0 (no answer)"
			}
			t.add(name, number(n.GetOurs()), number(n.GetTheirs()))
		}
		t.paint(bold, "all", number(r.GetOurs()), number(r.GetTheirs()))
		if err := a.show(t, r); err != nil || a.output == "json" {
			return err
		}
		fmt.Fprintf(a.out, "\n%d of ours, from %s to %s, the Dashboard does not know about.\n", r.GetNeverArrived(), a.clock(r.GetStartTime()), a.clock(r.GetEndTime()))
		return nil
	}
	return c
}

func (a *app) drift() *cobra.Command {
	return &cobra.Command{
		Use:   "drift [OPERATION]",
		Short: "Where the Dashboard's answers differ from its documentation",
		Long: `Fields of answers that did not fit the contract, since the broker started. None of them
has failed a call, and nothing was lost: what has no field is in additional_properties.`,
		Args:              between(0, "OPERATION"),
		ValidArgsFunction: completeOperations(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, client, done, err := ask(a, cmd.Context(), brokerv1.NewBrokerServiceClient)
			if err != nil {
				return err
			}
			defer done()
			in := new(brokerv1.ListDriftRequest)
			if len(args) > 0 {
				in.Operation = args[0]
			}
			r, err := client.ListDrift(ctx, in)
			if err != nil {
				return err
			}
			t := newTable("OPERATION", "FIELD", "WHAT", "TIMES", "LAST")
			for _, d := range r.GetItems() {
				what := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(d.GetKind().String(), "DRIFT_KIND_"), "_", " "))
				t.add(d.GetOperation(), d.GetPath(), what, number(d.GetCount()), a.clock(d.GetLastTime()))
			}
			return a.show(t, r)
		},
	}
}
