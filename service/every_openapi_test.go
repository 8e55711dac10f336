//go:build openapi

package service_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// An arrivals keeps the first request of each operation as the sandbox saw it:
// a stream asks for its second page before the first has been looked at.
type arrivals struct {
	mu    sync.Mutex
	first map[string]sandbox.Arrival
}

func (a *arrivals) observe(r sandbox.Arrival) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.first[r.Operation]; !ok {
		a.first[r.Operation] = r
	}
}

func (a *arrivals) take(operation string) (sandbox.Arrival, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, ok := a.first[operation]
	return r, ok
}

// reset forgets what looking up the owners of earlier calls has sent.
func (a *arrivals) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.first)
}

// otherwise are the operations whose request is another one than the document's
// schema says, with the reason.
var otherwise = map[string]string{
	"updateNetworkApplianceVlan":                 "fixedIpAssignments is typed as the wire has it",
	"createNetworkCameraQualityRetentionProfile": "videoSettings is a map of models in both directions",
	"updateNetworkCameraQualityRetentionProfile": "videoSettings is a map of models in both directions",
	"createNetworkPiiRequest":                    "datasets is a text on the wire",
	"updateNetworkFirmwareUpgradesStagedStages":  "_json stands for the whole body",
	"createOrganizationActionBatch":              "a made-up resource is refused: the rules have to see whose it is",
}

// TestEveryRPC calls each of the 992 operations and each of the 165 and 18
// streaming twins with every field set, and holds what arrives at the Dashboard's end
// against the vendor's document: verb, path, query and body, to the last value.
func TestEveryRPC(t *testing.T) {
	doc := readDocument(t)
	seen := &arrivals{first: make(map[string]sandbox.Arrival)}
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{
		LimitsOff: true, AddressRate: -1, Organizations: 2000, NetworksPerOrganization: 1, DevicesPerNetwork: 1, Observe: seen.observe, DeleteTime: -1,
	}})
	called := make(map[string]bool)
	twins, jobs := 0, 0
	for i, m := range h.contract.Methods() {
		op := doc[m.Operation.GetId()]
		if op == nil {
			t.Errorf("%s is not in the document", m.Name)
			continue
		}
		// Every call has an organization of its own: some of them delete it.
		ids := owners{h.sandbox.OrganizationID(i), h.sandbox.NetworkID(i, 0), h.sandbox.Serial(i, 0, 0)}
		fill := filler{ids: ids, paging: !m.Streaming || m.Runs}
		in := dynamicpb.NewMessage(m.Descriptor.Input())
		fill.message(in, m, 0)
		seen.reset()
		var answer error
		switch {
		case m.Runs:
			jobs++
			readStream(t, h, m, in)
		case m.Streaming:
			twins++
			readStream(t, h, m, in)
		default:
			called[m.Operation.GetId()] = true
			out := dynamicpb.NewMessage(m.Descriptor.Output())
			// The values are made up, so the Dashboard may well refuse them; what
			// arrived is what counts.
			ctx := metadata.AppendToOutgoingContext(context.Background(), "meraki-organization-id", ids.organization)
			answer = h.conn.Invoke(ctx, m.Name, in, out)
		}
		if otherwise[m.Operation.GetId()] != "" {
			continue
		}
		r, ok := seen.take(m.Operation.GetId())
		if !ok {
			t.Errorf("%s: nothing arrived: %v", m.Name, answer)
			continue
		}
		for _, complaint := range op.compare(r, fill) {
			t.Errorf("%s: %s", m.Name, complaint)
		}
	}
	for id := range doc {
		if !called[id] {
			t.Errorf("%s is in the document and has no RPC", id)
		}
	}
	if len(called) != 992 || twins != 165 || jobs != 18 {
		t.Errorf("called %d operations, %d twins that send pages and %d that run jobs, want 992, 165 and 18", len(called), twins, jobs)
	}
}

func readStream(t *testing.T, h *harness, m *contract.Method, in *dynamicpb.Message) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := h.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, m.Name)
	if err == nil {
		err = stream.SendMsg(in)
	}
	if err == nil {
		err = stream.CloseSend()
	}
	if err == nil {
		_ = stream.RecvMsg(dynamicpb.NewMessage(m.Descriptor.Output()))
	}
	if err != nil {
		t.Errorf("%s: %v", m.Name, err)
	}
}

// compare says how a request differs from what the document wants for it.
func (o *operation) compare(r sandbox.Arrival, f filler) (complaints []string) {
	say := func(format string, args ...any) { complaints = append(complaints, fmt.Sprintf(format, args...)) }
	if r.Method != o.method {
		say("verb %s, want %s", r.Method, o.method)
	}
	if got, want := segments(r.Path), o.segments(f); !slices.Equal(got, want) {
		say("path %q, want %q", got, want)
	}
	got, err := url.ParseQuery(r.Query)
	if err != nil {
		say("query %q: %v", r.Query, err)
	}
	if want := o.query(f); !reflect.DeepEqual(got, want) && (len(got) > 0 || len(want) > 0) {
		say("query %v, want %v", got, want)
	}
	want, hasBody := o.body(f)
	if hasBody != (len(r.Body) > 0) {
		say("body %q, want one: %v", r.Body, hasBody)
		return complaints
	}
	if !hasBody {
		return complaints
	}
	var body any
	d := json.NewDecoder(strings.NewReader(string(r.Body)))
	if err := d.Decode(&body); err != nil {
		say("body is not JSON: %v", err)
		return complaints
	}
	if diff := difference("", body, want); diff != "" {
		say("body %s", diff)
	}
	return complaints
}

// difference finds the first place where two JSON values differ.
func difference(at string, got, want any) string {
	switch want := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s is %v, want an object", at, got)
		}
		for k, w := range want {
			v, ok := g[k]
			if !ok {
				return fmt.Sprintf("%s.%s is missing", at, k)
			}
			if d := difference(at+"."+k, v, w); d != "" {
				return d
			}
		}
		for k := range g {
			// Nested messages are shared by the requests and the answers of a resource:
			// below the top a request may have fields that its own schema lacks.
			if _, ok := want[k]; !ok && at == "" {
				return fmt.Sprintf("%s.%s is not in the document", at, k)
			}
		}
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(want) {
			return fmt.Sprintf("%s is %v, want %d elements", at, got, len(want))
		}
		for i := range want {
			if d := difference(fmt.Sprintf("%s[%d]", at, i), g[i], want[i]); d != "" {
				return d
			}
		}
	default:
		if !reflect.DeepEqual(got, want) {
			return fmt.Sprintf("%s is %v (%T), want %v (%T)", at, got, got, want, want)
		}
	}
	return ""
}
