package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

// A caller is a service as the broker knows it.
type caller struct {
	name     string
	priority string
	// patience is the deadline of its calls.
	patience time.Duration
}

// identity is what the mesh would say of it.
func (c caller) identity() string { return "spiffe://bench.example/" + c.name }

// A call is one that was made, and what became of it.
type call struct {
	caller caller
	path   string // at the Dashboard
	// due is when it was to be made, done when its answer was there.
	due, done time.Time
	code      codes.Code
	reason    string        // of an error
	later     time.Duration // of a refusal: when to come back
	queue     time.Duration // as the reply says
	attempts  int           // as the reply says
	again     bool          // it comes back after a refusal
}

func (c *call) ok() bool { return c.code == codes.OK }

// took is how long its caller has waited for the answer.
func (c *call) took() time.Duration { return c.done.Sub(c.due) }

// An asker makes one kind of call: the device with a serial number, in the
// inventory of an organization. The organization is in the request, so nobody has
// to look up whose budget it is.
type asker struct {
	organization string
	method       string
}

// question is the operation that is asked for.
const question = "getOrganizationInventoryDevice"

func (s *site) asker(organization string) (*asker, error) {
	m := s.contract.Operation(question)
	if m == nil {
		return nil, fmt.Errorf("the contract has no operation %s", question)
	}
	return &asker{organization, m.Name}, nil
}

// request is the wire form of the request message: field 1 is the organization,
// field 2 the serial number. Written by hand, so that the bench does not link the
// generated package of a section and spends next to no time of the machine's.
func (a *asker) request(serial string) []byte {
	b := protowire.AppendTag(nil, 1, protowire.BytesType)
	b = protowire.AppendString(b, a.organization)
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	return protowire.AppendString(b, serial)
}

// ask makes a call. It takes as long as the call does.
func (a *asker) ask(ctx context.Context, to *replica, c caller, serial string, due time.Time) call {
	out := call{caller: c, path: "/organizations/" + a.organization + "/inventory/devices/" + serial, due: due}
	ctx, cancel := context.WithDeadline(ctx, due.Add(c.patience))
	defer cancel()
	pairs := []string{"x-forwarded-client-cert", "URI=" + c.identity()}
	if c.priority != "" {
		pairs = append(pairs, "meraki-priority", c.priority)
	}
	ctx = metadata.AppendToOutgoingContext(ctx, pairs...)
	var header metadata.MD
	in, reply := a.request(serial), []byte(nil)
	err := to.conn.Invoke(ctx, a.method, &in, &reply, grpc.ForceCodec(wire{}), grpc.Header(&header))
	out.done = time.Now()
	out.code = status.Code(err)
	out.queue = time.Duration(number(header, "meraki-queue-ms")) * time.Millisecond
	out.attempts = int(number(header, "meraki-attempts"))
	if err != nil {
		for _, d := range status.Convert(err).Details() {
			switch d := d.(type) {
			case *errdetails.ErrorInfo:
				out.reason = d.GetReason()
			case *errdetails.RetryInfo:
				out.later = d.GetRetryDelay().AsDuration()
			}
		}
	}
	return out
}

func number(md metadata.MD, key string) float64 {
	for _, v := range md.Get(key) {
		if n, err := strconv.ParseFloat(v, 64); err == nil {
			return n
		}
	}
	return 0
}

// wire hands messages through as they are on the wire.
type wire struct{}

func (wire) Name() string { return "proto" }

func (wire) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (wire) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = data
	return nil
}
