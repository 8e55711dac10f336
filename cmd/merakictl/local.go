package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/merakibroker/merakibroker/cmd/internal/config"
	"github.com/merakibroker/merakibroker/cmd/internal/version"
	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/identity"
)

func (a *app) config() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Check a configuration of merakid, and say what may stand in one",
		Long:  "Checks a configuration of merakid, and says what may stand in one.",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(
		&cobra.Command{
			Use:   "check FILE",
			Short: "Say everything that is wrong with a file",
			Long: `Says everything that is wrong with a configuration as far as the file tells, each with its
line: keys, values, contradictions, rules. It opens nothing that the file names and asks
no store; merakid -check -config FILE does, where those are. It exits with 10 where
something is wrong.`,
			Args: exactly("FILE"),
			RunE: func(_ *cobra.Command, args []string) error { return a.checkConfig(args[0]) },
		},
		&cobra.Command{
			Use: "schema", Short: "The JSON schema of the configuration", Long: "Writes the JSON schema of the configuration, for editors.", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				_, err := fmt.Fprint(a.out, config.Schema)
				return err
			},
		},
		&cobra.Command{
			Use: "docs", Short: "Every key of the configuration, in Markdown", Long: "Writes what every key of the configuration means, in Markdown: docs/configuration.md.", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				page, err := config.Page([]byte(config.Schema))
				if err == nil {
					_, err = a.out.Write(page)
				}
				return err
			},
		},
	)
	return c
}

// checkConfig says what is wrong with a file, and with the rules in it.
func (a *app) checkConfig(name string) error {
	f, err := config.Read(name)
	if err == nil {
		wrong := f.Check()
		known, err := theContract()
		if err != nil {
			return err
		}
		requests, err := service.PolicyRequests(known)
		if err != nil {
			return err
		}
		_, err = identity.NewPolicy(f.Policy, f.Identity.On(), requests)
		wrong.Add("policy", err)
		if err := f.Explain(wrong); err != nil {
			fmt.Fprintln(a.out, err)
			return verdict(exitNotWell)
		}
		_, err = fmt.Fprintf(a.out, "%s: nothing is wrong\n", plain(name))
		return err
	}
	fmt.Fprintln(a.out, err)
	return verdict(exitNotWell)
}

func (a *app) token() *cobra.Command {
	c := &cobra.Command{
		Use: "token", Short: "Make a token for a client or an operator", Long: "Makes tokens for clients of the REST face, and for operators.", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(&cobra.Command{
		Use:   "new NAME",
		Short: "Make a token, and the line that makes it known to the broker",
		Long: `Makes a token of the broker's own. The token goes to whoever shall use it and is kept
nowhere; the line, which only has its SHA-256, goes to the file of
identity.static_tokens, for a client of the REST face, or to operators_file, for an
operator.`,
		Args: exactly("NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			token, line, err := identity.NewToken(args[0])
			if err != nil {
				return &misuse{err.Error()}
			}
			if a.output == "json" {
				return a.value(map[string]string{"token": token, "line": line})
			}
			a.fields([][2]string{{"the token", token}, {"the line", line}, {"as a caller, in rules", "token:" + args[0]}})
			return nil
		},
	})
	return c
}

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Which version this is", Long: "Says which version this is.", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b := version.Of(linkedVersion)
			if a.output == "json" {
				return a.value(b)
			}
			_, err := fmt.Fprintln(a.out, "merakictl", b)
			return err
		},
	}
}

// value writes something of our own as JSON.
func (a *app) value(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return a.json(text)
}
