package main

import (
	"context"
	"errors"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
)

// topSpan is how far back who spent what goes.
const topSpan = 5 * time.Minute

func (a *app) top() *cobra.Command {
	var every time.Duration
	c := &cobra.Command{
		Use:   "top",
		Short: "Budgets, callers and failures at a glance, live",
		Long: `Shows the verdict on the Dashboard, the budgets, who spent what in the last five minutes
and the last failures, and keeps them current. Keys: 1 to 4 show one part alone, 0 all of
it, space stops and goes on, q ends. Where standard output is no terminal it shows all of
it once.`,
		Args: cobra.NoArgs,
	}
	c.Flags().DurationVar(&every, "every", 2*time.Second, "how often it is asked")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if every < 100*time.Millisecond {
			return &misuse{"--every is at least 100ms"}
		}
		if a.output == "json" {
			return &misuse{"top has no JSON: budgets, usage, attempts and health do"}
		}
		conn, err := a.dial(operatorsPort)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		s := source{app: a, broker: brokerv1.NewBrokerServiceClient(conn), operator: brokerv1.NewOperatorServiceClient(conn)}
		if !a.terminal {
			now := s.ask(cmd.Context())
			if now.err != nil {
				return now.err
			}
			(&screen{app: a, at: conn.Target(), shown: now}).write(a.out)
			return nil
		}
		m := &screen{app: a, at: conn.Target(), source: &s, ctx: cmd.Context(), every: every}
		options := []tea.ProgramOption{tea.WithContext(cmd.Context()), tea.WithInput(a.in), tea.WithOutput(a.out), tea.WithoutSignalHandler()}
		_, err = tea.NewProgram(m, options...).Run()
		if errors.Is(err, tea.ErrInterrupted) || cmd.Context().Err() != nil {
			return cmd.Context().Err()
		}
		return err
	}
	return c
}

// A source asks the broker for what is shown.
type source struct {
	app      *app
	broker   brokerv1.BrokerServiceClient
	operator brokerv1.OperatorServiceClient
}

// A snapshot is what the broker said at one moment.
type snapshot struct {
	at       time.Time
	health   *brokerv1.UpstreamHealth
	budgets  []*brokerv1.Budget
	callers  *brokerv1.GetUsageResponse
	usage    *brokerv1.GetUsageResponse // by operation
	failures []*brokerv1.Attempt
	holds    []*brokerv1.HoldState
	err      error
}

// ask asks for all of it, one after the other: it is little.
func (s *source) ask(ctx context.Context) (out snapshot) {
	ctx, cancel := s.app.within(ctx)
	defer cancel()
	out.at = s.app.now()
	if out.health, out.err = s.broker.GetUpstreamHealth(ctx, new(brokerv1.GetUpstreamHealthRequest)); out.err != nil {
		return out
	}
	var stream interface {
		Recv() (*brokerv1.WatchBudgetsResponse, error)
	}
	if stream, out.err = s.broker.WatchBudgets(ctx, new(brokerv1.WatchBudgetsRequest)); out.err != nil {
		return out
	}
	all, err := stream.Recv()
	if out.err = err; err != nil {
		return out
	}
	out.budgets = all.GetBudgets()
	busiest(out.budgets)
	if out.callers, out.err = s.spent(ctx, brokerv1.UsageGroup_USAGE_GROUP_CALLER); out.err != nil {
		return out
	}
	if out.usage, out.err = s.spent(ctx, brokerv1.UsageGroup_USAGE_GROUP_OPERATION); out.err != nil {
		return out
	}
	q := attemptQuery{app: s.app, client: s.broker, in: new(brokerv1.ListAttemptsRequest), failed: true}
	page, err := q.page(ctx, nil)
	if out.err = err; err != nil {
		return out
	}
	for _, one := range page {
		if q.wanted(one) {
			out.failures = append(out.failures, one)
		}
	}
	holds, err := s.operator.ListHolds(ctx, new(brokerv1.ListHoldsRequest))
	out.holds, out.err = holds.GetItems(), err
	return out
}

func (s *source) spent(ctx context.Context, by brokerv1.UsageGroup) (*brokerv1.GetUsageResponse, error) {
	return s.broker.GetUsage(ctx, &brokerv1.GetUsageRequest{GroupBy: []brokerv1.UsageGroup{by}, Span: durationpb.New(topSpan), Limit: 50})
}

// A tick says that it is time to ask again.
type tick struct{}

// Init asks for the first time.
func (m *screen) Init() tea.Cmd { return m.askNow }

func (m *screen) askNow() tea.Msg { return m.source.ask(m.ctx) }

// Update takes a key, a size, or what the broker said.
func (m *screen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.KeyPressMsg:
		switch key := msg.String(); key {
		case "q", "esc", "ctrl+c":
			return m, tea.Quit
		case "0", "1", "2", "3", "4":
			m.part = int(key[0] - '0')
		case "space":
			m.stopped = !m.stopped
		}
	case snapshot:
		if msg.err != nil {
			m.trouble = describe(status.Convert(msg.err))
		} else if !m.stopped {
			m.shown, m.trouble = msg, ""
		}
		return m, tea.Tick(m.every, func(time.Time) tea.Msg { return tick{} })
	case tick:
		return m, m.askNow
	}
	return m, nil
}

// View is the screen's text.
func (m *screen) View() tea.View {
	v := tea.NewView(m.text())
	v.AltScreen = true
	v.WindowTitle = "merakictl top"
	return v
}
