package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
)

// followEvery is how often new attempts are asked for, mostAttempts how many at a time.
const (
	followEvery  = time.Second
	mostAttempts = 1000
)

func (a *app) attempts() *cobra.Command {
	var failed, follow bool
	var limit int
	in := new(brokerv1.ListAttemptsRequest)
	c := &cobra.Command{
		Use:   "attempts",
		Short: "Every HTTP request to the Dashboard, the newest last",
		Long: `Every HTTP request that the broker made, retries and look-ups included, the newest last,
as far as its record goes back. With --follow new ones are added as they end; -o json
then gives one object a line.`,
		Example: "  merakictl attempts --failed --follow\n  merakictl attempts --caller spiffe://mesh.example/ns/shop/sa/orders -o json",
		Args:    cobra.NoArgs,
	}
	f := c.Flags()
	f.BoolVar(&failed, "failed", false, "only those that did not end with 2xx")
	f.BoolVarP(&follow, "follow", "f", false, "go on until interrupted")
	f.IntVar(&limit, "limit", 50, "how many at the most, of the newest")
	f.StringVar(&in.OrganizationId, "organization", "", "only of this organization, by `id`")
	f.StringVar(&in.Operation, "operation", "", "only of this operation, by its operationId")
	f.StringVar(&in.Caller, "caller", "", "only of this caller")
	_ = c.RegisterFlagCompletionFunc("operation", completeOperations(0))
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if limit < 1 {
			return &misuse{fmt.Sprintf("--limit is %d; it is at least 1", limit)}
		}
		a.knows(in.GetOperation())
		conn, err := a.dial(operatorsPort)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		q := attemptQuery{app: a, client: brokerv1.NewBrokerServiceClient(conn), in: in, failed: failed}
		items, seen, err := q.newest(cmd.Context(), limit)
		if err != nil {
			return err
		}
		if follow {
			return q.follow(cmd.Context(), items, seen)
		}
		return a.show(a.attemptTable(items), &brokerv1.ListAttemptsResponse{Items: items})
	}
	return c
}

// An attemptQuery asks for attempts, by what the flags say.
type attemptQuery struct {
	app    *app
	client brokerv1.BrokerServiceClient
	in     *brokerv1.ListAttemptsRequest
	failed bool
}

// newest gives the newest attempts, oldest first, and which have been looked at.
func (q *attemptQuery) newest(ctx context.Context, limit int) (items []*brokerv1.Attempt, seen map[string]bool, err error) {
	seen = make(map[string]bool)
	var before *timestamppb.Timestamp
	for len(items) < limit {
		page, err := q.page(ctx, before)
		if err != nil {
			return nil, nil, err
		}
		for _, one := range page {
			seen[attemptKey(one)] = true
			if q.wanted(one) && len(items) < limit {
				items = append(items, one)
			}
		}
		if len(page) < mostAttempts {
			break
		}
		before = page[len(page)-1].GetStartTime()
	}
	slices.Reverse(items)
	return items, seen, nil
}

// page gives attempts before a time, newest first.
func (q *attemptQuery) page(ctx context.Context, before *timestamppb.Timestamp) ([]*brokerv1.Attempt, error) {
	ctx, cancel := q.app.within(ctx)
	defer cancel()
	q.in.Before, q.in.PageSize = before, mostAttempts
	r, err := q.client.ListAttempts(ctx, q.in)
	return r.GetItems(), err
}

func (q *attemptQuery) wanted(one *brokerv1.Attempt) bool {
	return !q.failed || one.GetOutcome() != brokerv1.Outcome_OUTCOME_OK
}

// attemptKey tells attempts apart: they have no id of their own.
func attemptKey(one *brokerv1.Attempt) string {
	return fmt.Sprint(one.GetStartTime().AsTime().UnixNano(), one.GetDuration().AsDuration(), one.GetOperation(), one.GetNumber(), one.GetRequestId(), one.GetCaller())
}

// follow shows attempts as they end, until ctx ends.
func (q *attemptQuery) follow(ctx context.Context, items []*brokerv1.Attempt, seen map[string]bool) error {
	head := true
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for {
		if err := q.app.addAttempts(items, &head); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		page, err := q.page(ctx, nil)
		if err != nil {
			return err
		}
		items = items[:0]
		now := make(map[string]bool, len(page))
		for _, one := range page {
			key := attemptKey(one)
			now[key] = true
			if !seen[key] && q.wanted(one) {
				items = append(items, one)
			}
		}
		seen = now
		slices.Reverse(items)
	}
}

// addAttempts writes some more attempts, under a heading the first time.
func (a *app) addAttempts(items []*brokerv1.Attempt, head *bool) error {
	if a.output == "json" {
		for _, one := range items {
			if err := a.jsonLine(one); err != nil {
				return err
			}
		}
		return nil
	}
	lines := a.attemptTable(items).lines(a.colored)
	if !*head {
		lines = lines[1:]
	}
	*head = *head && len(items) == 0
	if len(items) > 0 {
		_, err := fmt.Fprintln(a.out, strings.Join(lines, "\n"))
		return err
	}
	return nil
}

func (a *app) attemptTable(items []*brokerv1.Attempt) *table {
	t := newTable("TIME", "TOOK", "METHOD", "OPERATION", "ORGANIZATION", "CALLER", "OUTCOME", "TRY", "VERDICT", "REQUEST ID")
	for _, one := range items {
		color := noPaint
		if one.GetOutcome() != brokerv1.Outcome_OUTCOME_OK {
			color = red
		}
		t.paint(color, a.clock(one.GetStartTime()), span(one.GetDuration().AsDuration()), one.GetMethod(), one.GetOperation(), dash(one.GetOrganizationId()), one.GetCaller(),
			outcomeWord(one), number(one.GetNumber()), one.GetVerdict(), dash(one.GetRequestId()))
	}
	return t
}

// outcomeWord is how an attempt ended: 200, 429, timeout.
func outcomeWord(one *brokerv1.Attempt) string {
	word := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(one.GetOutcome().String(), "OUTCOME_"), "_", " "))
	if n := one.GetHttpStatus(); n != 0 {
		return fmt.Sprintf("%s (%d)", word, n)
	}
	return word
}

// clock is a time as people read it.
func (a *app) clock(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	at := t.AsTime().In(a.now().Location())
	if a.now().Sub(at) > 20*time.Hour {
		return at.Format("01-02 15:04:05")
	}
	return at.Format("15:04:05.000")
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
