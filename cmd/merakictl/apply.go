package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/status"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
)

func (a *app) apply() *cobra.Command {
	var said beside
	in := &brokerv1.ApplyWritesRequest{TellHolds: true}
	c := &cobra.Command{
		Use:   "apply FILE",
		Short: "Make a list of writes with as few requests as it takes",
		Long: `Makes a list of writes, 10,000 at the most, by the Dashboard's action batches. FILE (- for
standard input) is a JSON list, or one object after another, each with the operationId
and the operation's request message, and if wanted with an id and a group; the writes of
a group are done together or not at all. Shown is what was not made, and why; with -o
json every write, one object a line. That an operator holds writes of the list, which
wait then, stands on standard error. It exits with 10 where a write was not made.

--timeout does not count here: a list takes as long as its budget.`,
		Example: `  echo '{"operation": "updateNetwork", "request": {"networkId": "N_1", "name": "Lobby"}}' | merakictl apply -
  merakictl apply ports.json --validate-only
  merakictl apply ports.json --idempotency-key ports-2026-11`,
		Args: exactly("FILE"),
	}
	f := c.Flags()
	f.BoolVar(&in.ValidateOnly, "validate-only", false, "change nothing: have the Dashboard check each write")
	f.BoolVar(&in.ReadBack, "read-back", false, "read each resource when it has been written, for one request each")
	f.StringVar(&said.name, "idempotency-key", "", "a `name` for the list: the same name again gets the outcomes of the first")
	f.StringVar(&said.priority, "priority", "", "critical, normal or bulk")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Writes, err = a.writes(args[0]); err != nil {
			return err
		}
		conn, err := a.dial(callersPort)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		stream, err := brokerv1.NewBatchServiceClient(conn).ApplyWrites(said.context(cmd.Context()), in)
		if err != nil {
			return err
		}
		p := progress{app: a, all: len(in.GetWrites()), word: "made"}
		if in.GetValidateOnly() {
			p.word = "found right"
		}
		for {
			result, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return p.end()
			}
			if err != nil {
				p.clear()
				return err
			}
			if err := p.take(result); err != nil {
				return err
			}
		}
	}
	return c
}

// A fileWrite is one write of the file.
type fileWrite struct {
	ID        string          `json:"id"`
	Group     string          `json:"group"`
	Operation string          `json:"operation"`
	Request   json.RawMessage `json:"request"`
}

// writes reads a file of writes.
func (a *app) writes(name string) ([]*brokerv1.Write, error) {
	var text []byte
	var err error
	if name == "-" {
		text, err = io.ReadAll(a.in)
	} else {
		text, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, &misuse{err.Error()}
	}
	list, err := fileWrites(text)
	if err != nil {
		return nil, &misuse{fmt.Sprintf("%s: %v", name, err)}
	}
	known, err := theContract()
	if err != nil {
		return nil, err
	}
	out := make([]*brokerv1.Write, len(list))
	for i, w := range list {
		m := known.Operation(w.Operation)
		if m == nil {
			return nil, &misuse{fmt.Sprintf("%s: write %d: operation is %q, which is not an operationId of the contract", name, i, w.Operation)}
		}
		request, err := a.typed(m, w.Request)
		if err != nil {
			return nil, &misuse{fmt.Sprintf("%s: write %d: %v", name, i, err)}
		}
		out[i] = &brokerv1.Write{Id: w.ID, Group: w.Group, Request: request}
		if w.ID == "" {
			out[i].Id = fmt.Sprint(i)
		}
	}
	return out, nil
}

// fileWrites reads a list, or one object after another.
func fileWrites(text []byte) (list []fileWrite, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("[")) {
		err = d.Decode(&list)
	} else {
		for err == nil {
			var w fileWrite
			if err = d.Decode(&w); err == nil {
				list = append(list, w)
			}
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err == nil && len(list) == 0 {
		err = errors.New("there is no write in it")
	}
	for i, w := range list {
		if err == nil && len(w.Request) == 0 {
			err = fmt.Errorf("write %d has no request", i)
		}
	}
	return list, err
}

// A progress counts what became of the writes.
type progress struct {
	app              *app
	all, done, wrong int
	word             string // what became of those that are done
}

// take takes one result, and shows it where it wants attention.
func (p *progress) take(r *brokerv1.ApplyWritesResponse) error {
	a := p.app
	if held := r.GetHeld(); held != nil {
		p.clear()
		fmt.Fprintf(a.err, "writes of the list wait: %s\n", plain(held.GetMessage()))
		return nil
	}
	what, st := outcomeOf(r)
	if what == "" {
		p.done++
	} else {
		p.wrong++
	}
	if a.output == "json" {
		return a.jsonLine(r)
	}
	if what != "" {
		p.clear()
		text := describe(status.FromProto(&spb.Status{Code: st.GetCode(), Message: st.GetMessage(), Details: st.GetDetails()}))
		fmt.Fprintf(a.out, "%s %s: %s", plain(r.GetId()), what, text)
	}
	if a.terminal {
		fmt.Fprintf(a.err, "\r%s\x1b[K", p.line())
	}
	return nil
}

// outcomeOf is what became of a write that was not made, and why; "" of one that was.
func outcomeOf(r *brokerv1.ApplyWritesResponse) (string, *brokerv1.WriteStatus) {
	switch o := r.GetOutcome().(type) {
	case *brokerv1.ApplyWritesResponse_Failed:
		return "failed", o.Failed
	case *brokerv1.ApplyWritesResponse_NotTried:
		return "was not tried", o.NotTried
	case *brokerv1.ApplyWritesResponse_Pending:
		return "is still under way", o.Pending.GetWhy()
	}
	return "", nil
}

// line is the bar and the counts.
func (p *progress) line() string {
	const width = 30
	full := width * (p.done + p.wrong) / max(p.all, 1)
	return fmt.Sprintf("[%s%s] %d of %d, %d not made", strings.Repeat("#", full), strings.Repeat(".", width-full), p.done+p.wrong, p.all, p.wrong)
}

// clear takes the bar away from a terminal.
func (p *progress) clear() {
	if p.app.terminal && p.app.output != "json" {
		fmt.Fprint(p.app.err, "\r\x1b[K")
	}
}

// end says how it ended.
func (p *progress) end() error {
	p.clear()
	if p.app.output != "json" {
		fmt.Fprintf(p.app.out, "%d of %d writes %s\n", p.done, p.all, p.word)
	}
	if p.wrong > 0 || p.done < p.all {
		return verdict(exitNotWell)
	}
	return nil
}
