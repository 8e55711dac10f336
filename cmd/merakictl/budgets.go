package main

import (
	"cmp"
	"slices"
	"time"

	"github.com/spf13/cobra"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
)

func (a *app) budgets() *cobra.Command {
	var classes bool
	c := &cobra.Command{
		Use:   "budgets [ORGANIZATION...]",
		Short: "What each organization may spend, and who waits",
		Long: `What each organization may spend at this moment, and what waits for it: those that have
been called since the broker started, or those that are named. The egress address has
a budget of its own. --waiting shows who waits, one line for each caller.`,
		Example: "  merakictl budgets\n  merakictl budgets 123456 --waiting",
	}
	c.Flags().BoolVar(&classes, "waiting", false, "show who waits, at which priority and for how long")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, client, done, err := ask(a, cmd.Context(), brokerv1.NewBrokerServiceClient)
		if err != nil {
			return err
		}
		defer done()
		all := new(brokerv1.WatchBudgetsResponse)
		if len(args) == 0 {
			stream, err := client.WatchBudgets(ctx, new(brokerv1.WatchBudgetsRequest))
			if err != nil {
				return err
			}
			if all, err = stream.Recv(); err != nil { // the first is all of them
				return err
			}
		}
		for _, id := range args {
			b, err := client.GetBudget(ctx, &brokerv1.GetBudgetRequest{OrganizationId: id})
			if err != nil {
				return err
			}
			all.Budgets = append(all.Budgets, b)
		}
		busiest(all.Budgets)
		if classes {
			return a.show(waitingTable(all.GetBudgets()), all)
		}
		return a.show(a.budgetTable(all.GetBudgets()), all)
	}
	return c
}

// busiest puts those that most wait for first, then those that spent the most.
func busiest(all []*brokerv1.Budget) {
	slices.SortStableFunc(all, func(x, y *brokerv1.Budget) int {
		return cmp.Or(cmp.Compare(y.GetWaiting(), x.GetWaiting()), cmp.Compare(y.GetAttempts(), x.GetAttempts()), cmp.Compare(x.GetOrganizationId(), y.GetOrganizationId()))
	})
}

// budgetName is the organization, or that it is the address's.
func budgetName(b *brokerv1.Budget) string { return cmp.Or(b.GetOrganizationId(), "(egress address)") }

func (a *app) budgetTable(all []*brokerv1.Budget) *table {
	t := newTable("ORGANIZATION", "RATE", "OF", "TOKENS", "WAITING", "OLDEST", "ATTEMPTS", "429", "STOPPED", "REPLICAS")
	for _, b := range all {
		color := noPaint
		stopped := "-"
		if until := b.GetStoppedUntil(); until != nil {
			color, stopped = red, span(until.AsTime().Sub(a.now()))
		} else if b.GetWaiting() > 0 {
			color = yellow
		}
		t.paint(color, budgetName(b), decimal(b.GetRate()), decimal(b.GetCeiling()), decimal(b.GetTokens()), number(b.GetWaiting()), oldest(b.GetClasses()),
			number(b.GetAttempts()), number(b.GetRateLimited()), stopped, replicas(b))
	}
	return t
}

// replicas says how many share a budget, and whether they do without the store.
func replicas(b *brokerv1.Budget) string {
	if b.GetShared() || b.GetReplicas() <= 1 {
		return number(max(b.GetReplicas(), 1))
	}
	return number(b.GetReplicas()) + " without the store"
}

func oldest(classes []*brokerv1.ClassState) string {
	var age time.Duration
	for _, c := range classes {
		age = max(age, c.GetOldest().AsDuration())
	}
	return span(age)
}

func waitingTable(all []*brokerv1.Budget) *table {
	t := newTable("ORGANIZATION", "PRIORITY", "CALLER", "WEIGHT", "WAITING", "OLDEST")
	for _, b := range all {
		for _, c := range b.GetClasses() {
			t.add(budgetName(b), c.GetPriority(), c.GetCaller(), decimal(c.GetWeight()), number(c.GetWaiting()), span(c.GetOldest().AsDuration()))
		}
	}
	return t
}
