package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
)

// A held is which calls are held, as the arguments say.
type held struct {
	scope brokerv1.HoldScope
	name  string
}

// heldBy reads {caller NAME | organization ID | writes}.
func heldBy(args []string) (held, error) {
	scopes := map[string]brokerv1.HoldScope{
		"caller":       brokerv1.HoldScope_HOLD_SCOPE_CALLER_BULK,
		"organization": brokerv1.HoldScope_HOLD_SCOPE_ORGANIZATION_BULK,
		"writes":       brokerv1.HoldScope_HOLD_SCOPE_ALL_WRITES,
	}
	h := held{scope: scopes[args[0]]}
	switch {
	case h.scope == 0:
		return h, &misuse{fmt.Sprintf("what is %q? It is caller NAME, organization ID, or writes", args[0])}
	case args[0] == "writes" && len(args) > 1:
		return h, &misuse{"writes are held for everybody: leave " + args[1] + " out"}
	case args[0] != "writes" && len(args) < 2:
		return h, &misuse{"the " + args[0] + " is missing"}
	}
	if len(args) > 1 {
		h.name = args[1]
	}
	return h, nil
}

var heldWords = cobra.FixedCompletions([]string{"caller", "organization", "writes"}, cobra.ShellCompDirectiveNoFileComp)

func (a *app) hold() *cobra.Command {
	var lasts time.Duration
	var reason string
	c := &cobra.Command{
		Use:   "hold {caller NAME | organization ID | writes}",
		Short: "Refuse a caller's bulk, an organization's bulk, or all writes for a time",
		Long: `Refuses the calls of a caller or of an organization that have the priority bulk, or every
write of everybody, for a stated time, at every replica. Those callers are told until
when and why; a list of writes waits. Needs a token of operators_file, named by --token-file.`,
		Example:           "  merakictl hold caller spiffe://mesh.example/ns/shop/sa/report --for 15m --reason 'incident 17' --token-file token\n  merakictl hold writes --for 1h --reason 'the store is moved' --token-file token",
		Args:              between(1, "caller, organization or writes", "NAME"),
		ValidArgsFunction: heldWords,
	}
	c.Flags().DurationVar(&lasts, "for", 0, "how long, from 1s to 24h; required")
	c.Flags().StringVar(&reason, "reason", "", "why, for those who are refused; required")
	_ = c.MarkFlagRequired("for")
	_ = c.MarkFlagRequired("reason")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		h, err := heldBy(args)
		if err != nil {
			return err
		}
		ctx, client, done, err := ask(a, cmd.Context(), brokerv1.NewOperatorServiceClient)
		if err != nil {
			return err
		}
		defer done()
		state, err := client.Hold(ctx, &brokerv1.HoldRequest{Scope: h.scope, Name: h.name, Duration: durationpb.New(lasts), Reason: reason})
		if err != nil {
			return err
		}
		return a.show(a.holdTable(state), state)
	}
	return c
}

func (a *app) release() *cobra.Command {
	return &cobra.Command{
		Use:               "release {caller NAME | organization ID | writes}",
		Short:             "End a hold before its time",
		Long:              "Ends a hold before its time. Needs a token of operators_file, named by --token-file.",
		Example:           "  merakictl release writes --token-file token",
		Args:              between(1, "caller, organization or writes", "NAME"),
		ValidArgsFunction: heldWords,
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := heldBy(args)
			if err != nil {
				return err
			}
			ctx, client, done, err := ask(a, cmd.Context(), brokerv1.NewOperatorServiceClient)
			if err != nil {
				return err
			}
			defer done()
			state, err := client.Release(ctx, &brokerv1.ReleaseRequest{Scope: h.scope, Name: h.name})
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.document(state)
			}
			_, err = fmt.Fprintf(a.out, "released: %s\n", plain(heldWord(state)))
			return err
		},
	}
}

func (a *app) holds() *cobra.Command {
	return &cobra.Command{
		Use:   "holds",
		Short: "What operators have stopped for a time",
		Long:  "What operators have stopped for a time with hold, who did, why and until when.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, client, done, err := ask(a, cmd.Context(), brokerv1.NewOperatorServiceClient)
			if err != nil {
				return err
			}
			defer done()
			r, err := client.ListHolds(ctx, new(brokerv1.ListHoldsRequest))
			if err != nil {
				return err
			}
			return a.show(a.holdTable(r.GetItems()...), r)
		},
	}
}

// heldWord says which calls are held.
func heldWord(h *brokerv1.HoldState) string {
	switch h.GetScope() {
	case brokerv1.HoldScope_HOLD_SCOPE_CALLER_BULK:
		return "bulk of caller " + h.GetName()
	case brokerv1.HoldScope_HOLD_SCOPE_ORGANIZATION_BULK:
		return "bulk of organization " + h.GetName()
	case brokerv1.HoldScope_HOLD_SCOPE_ALL_WRITES:
		return "all writes"
	}
	return h.GetScope().String() + " " + h.GetName()
}

func (a *app) holdTable(items ...*brokerv1.HoldState) *table {
	t := newTable("HELD", "FOR", "BY", "REASON")
	for _, h := range items {
		t.add(heldWord(h), span(h.GetEndTime().AsTime().Sub(a.now()).Round(time.Second)), h.GetOperator(), dash(h.GetReason()))
	}
	return t
}
