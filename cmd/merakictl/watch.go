package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
)

func (a *app) watch() *cobra.Command {
	var query []string
	var said beside
	in := new(brokerv1.WatchRequest)
	var age time.Duration
	c := &cobra.Command{
		Use:   "watch PATH",
		Short: "What a GET answers, and each new state of it",
		Long: `Shows what a GET answers, and then what changes, as JSON, one object a line: changed has
rows that have come or changed, removed those that have gone; whole says that a whole
state begins, more that the next line belongs to the same one. However many watch the
same thing, it is read once for all of them.`,
		Example: "  merakictl watch /organizations/123456/devices --age 10s\n  merakictl watch /networks/N_1/clients -q perPage=1000 | jq .changed",
		Args:    exactly("PATH"),
	}
	f := c.Flags()
	f.DurationVar(&age, "age", 10*time.Second, "how old a state may become before it is read anew, from 1s to 1h")
	f.BoolVar(&in.Whole, "whole", false, "every state whole, also where only some rows have changed")
	f.StringArrayVarP(&query, "query", "q", nil, "a `name=value` of the query; may be given several times")
	f.StringVar(&said.priority, "priority", "", "critical, normal or bulk")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		path, parameters, err := pathAndQuery(args[0], query)
		if err != nil {
			return err
		}
		if in.Request, err = a.get(path, parameters); err != nil {
			return err
		}
		in.Age = durationpb.New(age)
		conn, err := a.dial(callersPort)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		stream, err := brokerv1.NewWatchServiceClient(conn).Watch(said.context(cmd.Context()), in)
		if err != nil {
			return err
		}
		for {
			state, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if t := state.GetTrouble(); t != nil {
				fmt.Fprintf(a.err, "merakictl: not as young as it should be: %s: %s\n", plain(t.GetReason()), plain(t.GetMessage()))
			}
			if err := a.jsonLine(state); err != nil {
				return err
			}
		}
	}
	return c
}
