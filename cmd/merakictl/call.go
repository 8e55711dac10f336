package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/metadata"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
)

// beside is what a call says beside its request, by metadata.
type beside struct{ priority, maxAge, name, organization string }

func (b *beside) context(ctx context.Context) context.Context {
	for key, value := range map[string]string{
		"meraki-priority": b.priority, "meraki-max-age": b.maxAge, "meraki-idempotency-key": b.name, "meraki-organization-id": b.organization,
	} {
		if value != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, key, value)
		}
	}
	return ctx
}

func (a *app) call() *cobra.Command {
	var query []string
	var data string
	var all bool
	var said beside
	c := &cobra.Command{
		Use:   "call METHOD PATH",
		Short: "Call any operation of the Dashboard, JSON in and out",
		Long: `Calls any operation of the Dashboard through the broker, under the same budget, rules and
retries as everybody's. PATH is below /api/v1 and may have a query. The answer is JSON on
standard output; jq takes it from there. --all follows the links to the next pages of a
GET: pages that are lists become one list, all others follow one another.`,
		Example: `  merakictl call GET /organizations --all
  merakictl call GET '/networks/N_1/clients?perPage=1000' --all | jq '.[].mac'
  merakictl call PUT /networks/N_1 --data '{"name": "Lobby"}' --idempotency-key rename-1`,
		Args: exactly("METHOD", "PATH"),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return verbs, cobra.ShellCompDirectiveNoFileComp
		},
	}
	f := c.Flags()
	f.StringArrayVarP(&query, "query", "q", nil, "a `name=value` of the query; may be given several times")
	f.StringVarP(&data, "data", "d", "", "the body: JSON, @FILE, or - for standard input")
	f.BoolVar(&all, "all", false, "follow the links to the next pages")
	f.StringVar(&said.priority, "priority", "", "critical, normal or bulk")
	f.StringVar(&said.maxAge, "max-age", "", "take an answer that is at the most so many `seconds` old")
	f.StringVar(&said.name, "idempotency-key", "", "a `name` for the write: the same name again gets the outcome of the first")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		in := &brokerv1.CallRequest{Method: strings.ToUpper(args[0])}
		var err error
		if in.Path, in.Query, err = pathAndQuery(args[1], query); err != nil {
			return err
		}
		if all && in.GetMethod() != "GET" {
			return &misuse{"--all is for GET"}
		}
		if in.Body, err = a.read(data); err != nil {
			return err
		}
		conn, err := a.dial(callersPort)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		pages, failed := a.pages(said.context(cmd.Context()), brokerv1.NewBrokerServiceClient(conn), in, all)
		for _, p := range pages {
			if err := a.json(p); err != nil {
				return err
			}
		}
		return failed
	}
	return c
}

// pages makes the call, and with all those after it. What came before a page that fails
// is given nevertheless.
func (a *app) pages(ctx context.Context, client brokerv1.BrokerServiceClient, in *brokerv1.CallRequest, all bool) (pages [][]byte, err error) {
	for {
		page, err := a.page(ctx, client, in)
		if err != nil {
			return joined(pages), err
		}
		if body := page.GetBody(); len(body) > 0 {
			pages = append(pages, body)
		}
		if !all || page.GetNextPath() == "" {
			return joined(pages), nil
		}
		in = &brokerv1.CallRequest{Method: in.GetMethod(), Path: page.GetNextPath(), Query: page.GetNextQuery()}
	}
}

func (a *app) page(ctx context.Context, client brokerv1.BrokerServiceClient, in *brokerv1.CallRequest) (*brokerv1.CallResponse, error) {
	ctx, cancel := a.within(ctx)
	defer cancel()
	return client.Call(ctx, in)
}

// joined makes one list of pages that are lists; nothing of others.
func joined(pages [][]byte) [][]byte {
	var whole []json.RawMessage
	for _, p := range pages {
		if !bytes.HasPrefix(bytes.TrimSpace(p), []byte("[")) {
			return pages
		}
		var rows []json.RawMessage
		if err := json.Unmarshal(p, &rows); err != nil {
			return pages
		}
		whole = append(whole, rows...)
	}
	if len(pages) < 2 {
		return pages
	}
	text, err := json.Marshal(whole)
	if err != nil {
		return pages
	}
	return [][]byte{text}
}

// pathAndQuery takes a path and its query apart, and adds what flags say.
func pathAndQuery(path string, more []string) (string, []*brokerv1.QueryParameter, error) {
	path, raw, _ := strings.Cut(path, "?")
	var query []*brokerv1.QueryParameter
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(name)
		if err == nil {
			value, err = url.QueryUnescape(value)
		}
		if err != nil {
			return "", nil, &misuse{fmt.Sprintf("the query has %q: %v", part, err)}
		}
		query = append(query, &brokerv1.QueryParameter{Name: name, Value: value})
	}
	for _, q := range more {
		name, value, ok := strings.Cut(q, "=")
		if !ok || name == "" {
			return "", nil, &misuse{fmt.Sprintf("--query is %q, which is not name=value", q)}
		}
		query = append(query, &brokerv1.QueryParameter{Name: name, Value: value})
	}
	return path, query, nil
}

// read reads what a flag gives: text, @FILE, or - for standard input.
func (a *app) read(data string) ([]byte, error) {
	switch {
	case data == "":
		return nil, nil
	case data == "-":
		return io.ReadAll(a.in)
	case strings.HasPrefix(data, "@"):
		text, err := os.ReadFile(data[1:])
		if err != nil {
			return nil, &misuse{"--data: " + err.Error()}
		}
		return text, nil
	}
	return []byte(data), nil
}
