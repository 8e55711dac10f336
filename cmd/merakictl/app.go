package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// An app is one run: what it is connected to, and what every command's flags say.
type app struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string
	now      func() time.Time
	// terminal tells that a person reads out, colored that it may have colors.
	terminal, colored bool

	connection connection
	output     string
	timeout    time.Duration
}

// system is the app of this process.
func system() *app {
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv, now: time.Now}
	a.terminal = isTerminal(os.Stdout)
	a.colored = a.terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return a
}

// isTerminal tells a terminal from a file and a pipe.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// run does what the arguments ask for, and gives the exit code.
func run(ctx context.Context, a *app, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	return a.report(ctx, err)
}

// The groups that the help lists commands in.
const (
	groupLook  = "look"
	groupCall  = "call"
	groupAct   = "act"
	groupLocal = "local"
)

// root is the command of all commands.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "merakictl",
		Short: "Ask the broker: who spends the budget, is it us or the Dashboard",
		Long: `Merakictl is the terminal of whoever operates the broker.

It asks the operator's port (127.0.0.1:9090), where reading needs no identity, and only
hold and release, with an operator's token, change something. Three commands call the
Dashboard: call, watch and apply ask the port for callers (127.0.0.1:50051), where the
rules say who may. --address names another place for either. Every flag below has an
environment variable, too: MERAKICTL_ADDRESS, MERAKICTL_TOKEN_FILE; a flag wins.

Tables are for people and may change; -o json does not.`,
		SilenceErrors: true, SilenceUsage: true, DisableAutoGenTag: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.settle(cmd) },
		Args:              cobra.NoArgs,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &misuse{fmt.Sprintf("%v (%s -h lists the flags)", err, cmd.CommandPath())}
	})
	f := root.PersistentFlags()
	f.SortFlags = false
	a.connection.flags(f)
	f.StringVarP(&a.output, "output", "o", "table", "table or json")
	f.DurationVar(&a.timeout, "timeout", 30*time.Second, "how long an answer may take")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))

	root.AddGroup(&cobra.Group{ID: groupLook, Title: "Look:"}, &cobra.Group{ID: groupCall, Title: "Call the Dashboard:"},
		&cobra.Group{ID: groupAct, Title: "Act, with an operator's token:"}, &cobra.Group{ID: groupLocal, Title: "Without a broker:"})
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupLook, a.top(), a.health(), a.budgets(), a.usage(), a.attempts(), a.compare(), a.drift(), a.explain(), a.can(), a.holds())
	add(groupCall, a.call(), a.watch(), a.apply())
	add(groupAct, a.hold(), a.release())
	add(groupLocal, a.config(), a.token(), a.version())
	root.SetHelpCommandGroupID(groupLocal)
	root.SetCompletionCommandGroupID(groupLocal)
	return root
}

// settle takes what flags have left open from the environment, and checks it.
func (a *app) settle(cmd *cobra.Command) error {
	var err error
	cmd.Root().PersistentFlags().VisitAll(func(f *pflag.Flag) {
		name := variable(f.Name)
		if value := a.env(name); value != "" && !f.Changed && err == nil {
			if wrong := f.Value.Set(value); wrong != nil {
				err = &misuse{fmt.Sprintf("%s is %q: %v", name, value, wrong)}
			}
		}
	})
	if err == nil && a.output != "table" && a.output != "json" {
		err = &misuse{fmt.Sprintf("-o is %q; it takes table or json", a.output)}
	}
	return err
}

// variable is the environment variable of a flag.
func variable(flag string) string {
	return "MERAKICTL_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// within gives a call its time.
func (a *app) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, a.timeout)
}

// exactly wants so many arguments, and says which.
func exactly(names ...string) cobra.PositionalArgs {
	return between(len(names), names...)
}

// between wants at least so many of the arguments.
func between(least int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return &misuse{fmt.Sprintf("%s is missing (%s -h)", names[len(args)], cmd.CommandPath())}
		case len(args) > len(names):
			return &misuse{fmt.Sprintf("what is %q? (%s -h)", args[len(names)], cmd.CommandPath())}
		}
		return nil
	}
}
