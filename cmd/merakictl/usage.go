package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
)

// usageGroups are what --by takes.
var usageGroups = []string{"caller", "organization", "operation"}

func (a *app) usage() *cobra.Command {
	var by []string
	var since time.Duration
	in := new(brokerv1.GetUsageRequest)
	c := &cobra.Command{
		Use:   "usage",
		Short: "Who spent what: by caller, organization and operation",
		Long: `Who spent what, over all replicas: ATTEMPTS are HTTP requests to the Dashboard, REQUESTS
are calls; SAVED are requests that were not needed, because a read was shared, an answer
was at hand, writes went as a batch, or a poll was made for several watchers.`,
		Example: "  merakictl usage --by caller --since 1h\n  merakictl usage --by organization,operation --since 15m --limit 20",
		Args:    cobra.NoArgs,
	}
	f := c.Flags()
	f.StringSliceVar(&by, "by", []string{"caller"}, "caller, organization, operation, or several of them")
	f.DurationVar(&since, "since", time.Hour, "how far back; 24h at the most")
	f.Int32Var(&in.Limit, "limit", 20, "rows at the most; what has none is in (other)")
	f.StringVar(&in.Caller, "caller", "", "only of this caller")
	f.StringVar(&in.OrganizationId, "organization", "", "only of this organization, by `id`")
	f.StringVar(&in.Operation, "operation", "", "only of this operation, by its operationId")
	_ = c.RegisterFlagCompletionFunc("by", cobra.FixedCompletions(usageGroups, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("operation", completeOperations(0))
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		a.knows(in.GetOperation())
		in.Span = durationpb.New(since)
		for _, group := range by {
			n, ok := brokerv1.UsageGroup_value["USAGE_GROUP_"+strings.ToUpper(group)]
			if !ok || n == 0 {
				return &misuse{fmt.Sprintf("--by is %q; it takes %s", group, strings.Join(usageGroups, ", "))}
			}
			in.GroupBy = append(in.GroupBy, brokerv1.UsageGroup(n))
		}
		ctx, client, done, err := ask(a, cmd.Context(), brokerv1.NewBrokerServiceClient)
		if err != nil {
			return err
		}
		defer done()
		u, err := client.GetUsage(ctx, in)
		if err != nil {
			return err
		}
		if err := a.show(usageTable(u, by), u); err != nil || a.output == "json" {
			return err
		}
		if text := u.GetIncomplete(); text != "" {
			fmt.Fprintf(a.out, "\nOther replicas may be missing: %s\n", plain(text))
		}
		return nil
	}
	return c
}

func usageTable(u *brokerv1.GetUsageResponse, by []string) *table {
	var head []string
	for _, group := range by {
		head = append(head, strings.ToUpper(group))
	}
	t := newTable(append(head, "ATTEMPTS", "REQUESTS", "REFUSED", "429", "WAITED", "SENT", "RECEIVED", "SAVED")...)
	for _, r := range u.GetRows() {
		var names []string
		for _, group := range by {
			switch group {
			case "caller":
				names = append(names, dash(r.GetCaller()))
			case "organization":
				names = append(names, dash(r.GetOrganizationId()))
			case "operation":
				names = append(names, dash(r.GetOperation()))
			}
		}
		t.add(append(names, usageCells(r.GetFigures())...)...)
	}
	last := func(name string, color paint, f *brokerv1.UsageFigures) {
		names := make([]string, len(by))
		names[0] = name
		t.paint(color, append(names, usageCells(f)...)...)
	}
	if o := u.GetOther(); o.GetRequests() != 0 || o.GetAttempts() != 0 {
		last("(other)", noPaint, o)
	}
	last("(all)", bold, u.GetTotal())
	return t
}

func usageCells(f *brokerv1.UsageFigures) []string {
	waited := "-"
	if n := f.GetWaits(); n > 0 {
		waited = span(f.GetWaitTime().AsDuration() / time.Duration(n))
	}
	return []string{number(f.GetAttempts()), number(f.GetRequests()), number(f.GetRefusals()), number(f.GetRateLimited()), waited,
		bytesOf(f.GetRequestBytes()), bytesOf(f.GetResponseBytes()), number(savedRequests(f.GetSaved()))}
}

func savedRequests(s *brokerv1.SavedRequests) int64 {
	return s.GetShared() + s.GetCached() + s.GetBatched() + s.GetWatched()
}
