package service_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/dashboard"
)

// call makes one typed RPC with fields set by their names in the proto.
func (h *harness) call(ctx context.Context, t testing.TB, operation string, fields map[string]any, options ...grpc.CallOption) (*dynamicpb.Message, error) {
	t.Helper()
	in := h.request(t, operation, fields)
	m := h.contract.Operation(operation)
	out := dynamicpb.NewMessage(m.Descriptor.Output())
	err := h.conn.Invoke(ctx, m.Name, in, out, options...)
	return out, err
}

// request makes the request of an operation.
func (h *harness) request(t testing.TB, operation string, fields map[string]any) *dynamicpb.Message {
	t.Helper()
	m := h.contract.Operation(operation)
	if m == nil {
		t.Fatalf("the contract has no %s", operation)
	}
	in := dynamicpb.NewMessage(m.Descriptor.Input())
	for name, value := range fields {
		f := m.Descriptor.Input().Fields().ByName(protoreflect.Name(name))
		if f == nil {
			t.Fatalf("%s has no field %s", m.Descriptor.Input().FullName(), name)
		}
		if list, ok := value.([]string); ok {
			for _, text := range list {
				in.Mutable(f).List().Append(protoreflect.ValueOfString(text))
			}
			continue
		}
		in.Set(f, protoreflect.ValueOf(value))
	}
	return in
}

// text reads a string field of a message by its name in the proto.
func text(m protoreflect.Message, name string) string {
	return m.Get(m.Descriptor().Fields().ByName(protoreflect.Name(name))).String()
}

// items reads the rows of a collection.
func items(m protoreflect.Message) []protoreflect.Message {
	list := m.Get(m.Descriptor().Fields().ByName("items")).List()
	out := make([]protoreflect.Message, list.Len())
	for i := range out {
		out[i] = list.Get(i).Message()
	}
	return out
}

// TestFromOrganizationToDevice walks the world as a first user would.
func TestFromOrganizationToDevice(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast})
	ctx := context.Background()
	var headers metadata.MD
	organizations, err := h.call(ctx, t, "getOrganizations", nil, grpc.Header(&headers))
	if err != nil {
		t.Fatal(err)
	}
	if got := headers.Get("meraki-attempts"); len(got) != 1 || got[0] != "1" {
		t.Errorf("meraki-attempts is %v", got)
	}
	rows := items(organizations)
	if len(rows) != 3 || text(rows[0], "id") != h.sandbox.OrganizationID(0) {
		t.Fatalf("organizations: %v", organizations)
	}
	devices, err := h.call(ctx, t, "getOrganizationDevices", map[string]any{"organization_id": text(rows[0], "id")})
	if err != nil {
		t.Fatal(err)
	}
	serial := text(items(devices)[0], "serial")
	device, err := h.call(ctx, t, "getDevice", map[string]any{"serial": serial})
	if err != nil {
		t.Fatal(err)
	}
	if text(device, "serial") != serial || text(device, "network_id") != text(items(devices)[0], "network_id") {
		t.Errorf("device %v", device)
	}
}

// TestMissingPathParameter: nothing is sent, and the field is named.
func TestMissingPathParameter(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast})
	_, err := h.call(context.Background(), t, "getOrganizationDevices", nil)
	if status.Code(err) != codes.InvalidArgument {
		t.Fatalf("got %v", err)
	}
	if n := h.broker.Attempts(); n != 0 {
		t.Errorf("%d attempts were made", n)
	}
}

// withOrganization says who owns, so that a test need not wait for look-ups.
func withOrganization(ctx context.Context, id string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "meraki-organization-id", id)
}

// TestWriteWithAnUnreadableAnswer: it has been executed, so no code may say that
// it was not, wherever the answer is found to be wrong.
func TestWriteWithAnUnreadableAnswer(t *testing.T) {
	t.Parallel()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"id": nonsense}`))
	}))
	t.Cleanup(upstream.Close)
	h := build(t, plan{broker: fast, client: func(c *dashboard.Config) { c.BaseURL = upstream.URL + "/api/v1" }})
	_, err := h.call(context.Background(), t, "createOrganization", map[string]any{"name": "n"})
	wantCode(t, "a typed write", err, codes.Unknown, "MALFORMED_RESPONSE")
	_, err = h.own.Call(context.Background(), &brokerv1.CallRequest{Method: "POST", Path: "/organizations", Body: []byte(`{"name":"n"}`)})
	wantCode(t, "a raw write", err, codes.Unknown, "MALFORMED_RESPONSE")
	_, err = h.call(context.Background(), t, "getOrganization", map[string]any{"organization_id": "1"})
	wantCode(t, "a read", err, codes.Internal, "MALFORMED_RESPONSE")
}

// TestURLThatIsTooLong: nothing is sent that cannot work, and nothing as long is
// kept as somebody's id.
func TestURLThatIsTooLong(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast})
	_, err := h.call(context.Background(), t, "getNetwork", map[string]any{"network_id": strings.Repeat("x", 20_000)})
	wantCode(t, "an id of 20 kB", err, codes.InvalidArgument, "BAD_REQUEST")
	if n := h.broker.Attempts(); n != 0 {
		t.Errorf("%d attempts were made", n)
	}
}

// TestRequiredListsAreNotLost: a list that the document requires and that is empty is
// refused before anything is sent; named in empty_fields it is sent.
func TestRequiredListsAreNotLost(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast})
	network := h.sandbox.NetworkID(0, 0)
	for operation, fields := range map[string]map[string]any{
		"updateNetworkApplianceFirewallPortForwardingRules": {"network_id": network},
		"updateNetworkApplianceFirewallL3FirewallRules":     {"network_id": network, "rules": []string{}},
		"updateNetworkSyslogServers":                        {"network_id": network, "null_fields": []string{}},
		"updateNetworkSwitchQosRulesOrder":                  {"network_id": network, "rule_ids": []string{}},
		"createOrganizationNetwork":                         {"organization_id": h.sandbox.OrganizationID(0), "name": "n"},
	} {
		before := h.sandbox.Stats().Total.Arrived
		_, err := h.call(t.Context(), t, operation, fields)
		bad := detailOf[*errdetails.BadRequest](status.Convert(err))
		if status.Code(err) != codes.InvalidArgument || len(bad.GetFieldViolations()) != 1 || !strings.Contains(err.Error(), "empty_fields") {
			t.Errorf("%s: %v", operation, err)
			continue
		}
		if n := h.sandbox.Stats().Total.Arrived - before; n > 0 {
			t.Errorf("%s: %d requests were sent", operation, n)
		}
		if operation == "createOrganizationNetwork" {
			continue // which the Dashboard would refuse
		}
		fields["empty_fields"] = []string{bad.GetFieldViolations()[0].GetField()}
		if _, err := h.call(t.Context(), t, operation, fields); err != nil {
			t.Errorf("%s with empty_fields: %v", operation, err)
		}
	}
}
