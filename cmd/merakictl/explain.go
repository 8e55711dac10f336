package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/setting"
)

// verbs are the methods that the Dashboard has.
var verbs = []string{"GET", "PUT", "POST", "DELETE"}

func (a *app) explain() *cobra.Command {
	var priority string
	c := &cobra.Command{
		Use:   "explain {METHOD PATH | OPERATION [PATH]}",
		Short: "What a call would cost, whose budget it spends, behind whom it waits",
		Long: `What a call would cost if it came now, whose budget it would spend, how long it would
wait and behind whom. Nothing is sent and nothing is spent.`,
		Example:           "  merakictl explain GET /networks/N_1/clients\n  merakictl explain getNetworkClients /networks/N_1/clients --priority bulk",
		Args:              between(1, "METHOD or OPERATION", "PATH"),
		ValidArgsFunction: completeOperations(0),
	}
	c.Flags().StringVar(&priority, "priority", "", "critical, normal or bulk (default normal)")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		in := &brokerv1.ExplainCallRequest{Priority: priority}
		if method := strings.ToUpper(args[0]); slices.Contains(verbs, method) {
			if len(args) < 2 {
				return &misuse{"PATH is missing (merakictl explain -h)"}
			}
			in.Method = method
		} else {
			in.Operation = args[0]
		}
		if len(args) > 1 {
			in.Path = args[1]
		}
		ctx, client, done, err := ask(a, cmd.Context(), brokerv1.NewBrokerServiceClient)
		if err != nil {
			return err
		}
		defer done()
		e, err := client.ExplainCall(ctx, in)
		if err != nil {
			return err
		}
		if a.output == "json" {
			return a.document(e)
		}
		a.explanation(e, in.GetPath() != "")
		return nil
	}
	return c
}

// explanation shows what a call would cost; path tells whether one was given.
func (a *app) explanation(e *brokerv1.ExplainCallResponse, path bool) {
	owner := e.GetOrganizationId()
	switch {
	case owner == "" && e.GetOwnerKnown():
		owner = "nobody: the egress address alone pays"
	case !e.GetOwnerKnown() && !path:
		owner = "depends on the path, and none is given"
	case !e.GetOwnerKnown():
		owner = "not known yet: it is looked up first"
	}
	refusal := e.GetRefusal()
	if refusal == "" {
		refusal = "no"
	}
	a.fields([][2]string{
		{"operation", e.GetOperation()},
		{"organization", owner},
		{"attempts", fmt.Sprint(e.GetAttempts())},
		{"wait", span(e.GetWait().AsDuration())},
		{"usual time", span(e.GetServiceTime().AsDuration())},
		{"refused now", refusal},
	})
	if len(e.GetBehind()) > 0 {
		fmt.Fprintln(a.out)
		t := newTable("BEHIND", "PRIORITY", "WEIGHT", "WAITING", "OLDEST")
		for _, c := range e.GetBehind() {
			t.add(c.GetCaller(), c.GetPriority(), decimal(c.GetWeight()), number(c.GetWaiting()), span(c.GetOldest().AsDuration()))
		}
		t.write(a.out, a.colored)
	}
}

// fields writes names and values, one a line.
func (a *app) fields(list [][2]string) {
	width := 0
	for _, f := range list {
		width = max(width, len(f[0]))
	}
	for _, f := range list {
		fmt.Fprintf(a.out, "%-*s  %s\n", width, f[0], plain(f[1]))
	}
}

func (a *app) can() *cobra.Command {
	return &cobra.Command{
		Use:   "can CALLER OPERATION [ORGANIZATION]",
		Short: "Whether the rules let a caller call an operation",
		Long: `Whether the rules that hold now let a caller call an operation in an organization, by which
rule and on which terms; or which rule is missing. Without an organization: whether there
is any. It exits with 3 where the answer is no.`,
		Example:           "  merakictl can spiffe://mesh.example/ns/shop/sa/orders getNetworkClients 123456\n  merakictl can anonymous rebootDevice",
		Args:              between(2, "CALLER", "OPERATION", "ORGANIZATION"),
		ValidArgsFunction: completeOperations(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := &brokerv1.CheckAccessRequest{Caller: args[0], Operation: args[1]}
			if len(args) > 2 {
				in.OrganizationId = args[2]
			}
			ctx, client, done, err := ask(a, cmd.Context(), brokerv1.NewBrokerServiceClient)
			if err != nil {
				return err
			}
			defer done()
			r, err := client.CheckAccess(ctx, in)
			if err != nil {
				return err
			}
			switch {
			case a.output == "json":
				if err := a.document(r); err != nil {
					return err
				}
			case r.GetAllowed():
				a.fields([][2]string{
					{"yes, by rule", r.GetRule()},
					{"priority", fmt.Sprintf("%s, %s at the most", r.GetPriority(), r.GetMaxPriority())},
					{"weight", decimal(r.GetWeight())},
					{"share", fmt.Sprintf("%.0f %% of a budget", 100*r.GetShare())},
				})
			default:
				a.fields([][2]string{{"no", r.GetRefusal()}})
			}
			if !r.GetAllowed() {
				return verdict(exitNotAllowed)
			}
			return nil
		},
	}
}

// theContract is read when it is needed: completion, watch and apply.
var theContract = sync.OnceValues(contract.Load)

// untyped is the operation of calls that no RPC has, in records and usage.
const untyped = "call"

// knows says so when an operation is none: nothing would be found, as if nothing had been.
// The broker may be of a newer contract, so that it is asked all the same.
func (a *app) knows(operation string) {
	known, err := theContract()
	if err != nil || operation == "" || operation == untyped || known.Operation(operation) != nil {
		return
	}
	var all []string
	for _, m := range known.Methods() {
		all = append(all, m.Operation.GetId())
	}
	meant := ""
	if near, ok := setting.Nearest(operation, all); ok {
		meant = "; did you mean " + near + "?"
	}
	fmt.Fprintf(a.err, "merakictl: --operation is %q, which is no operationId that merakictl knows%s\n", operation, meant)
}

// completeOperations completes the argument at a place with operationIds.
func completeOperations(place int) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		known, err := theContract()
		if err != nil || len(args) != place {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []string
		for _, m := range known.Methods() {
			if id := m.Operation.GetId(); !m.Streaming && strings.HasPrefix(id, begun) {
				out = append(out, id)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}
