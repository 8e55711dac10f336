package service_test

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/merakibroker/merakibroker/service/dashboard"
)

// A keptResource is a Dashboard with one resource. What a PUT has replaces what was
// there; what it has not stays.
type keptResource struct {
	document map[string]any
	puts     int
}

func (k *keptResource) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		var body map[string]any
		b, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(b, &body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		maps.Copy(k.document, body)
		k.puts++
	}
	_ = json.NewEncoder(w).Encode(k.document)
}

// copyCommon copies what two messages have in common by name and type.
func copyCommon(to, from protoreflect.Message) {
	typed := func(fd protoreflect.FieldDescriptor) string {
		if fd.Message() != nil && !fd.IsMap() {
			return string(fd.Message().FullName())
		}
		return fd.Kind().String()
	}
	from.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		into := to.Descriptor().Fields().ByName(fd.Name())
		switch {
		case into == nil || into.IsMap() != fd.IsMap() || into.IsList() != fd.IsList() || typed(into) != typed(fd):
		case fd.IsMap():
			entries := to.Mutable(into).Map()
			v.Map().Range(func(key protoreflect.MapKey, v protoreflect.Value) bool {
				entries.Set(key, v)
				return true
			})
		case fd.IsList():
			for i := range v.List().Len() {
				to.Mutable(into).List().Append(v.List().Get(i))
			}
		default:
			to.Set(into, v)
		}
		return true
	})
}

// TestReadModifyWrite: whoever reads a resource, copies its fields and its
// additional_properties into the request, and changes one, has changed that one. The
// documents have what the vendor's document lacks, and what it says otherwise.
func TestReadModifyWrite(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		get, put, document string
		path               map[string]any
		name, key          string // of the field that is changed
	}{
		{"getNetworkWirelessSsid", "updateNetworkWirelessSsid", `{"number":0,"name":"a","enabled":true,"splashPage":"None","ssidAdminAccessible":false,"authMode":"psk","psk":"secret","encryptionMode":"wpa",
			"radiusServers":[{"host":"10.0.0.1","port":1812,"openRoamingCertificateId":2,"caCertificate":"x","priority":1}],"radiusAccountingEnabled":"no","availabilityTags":[],"newBands":{"6":[true,null]},
			"perClientBandwidthLimitUp":0.5,"minBitrate":5.5,"visible":"perhaps","dot11w":{"enabled":true,"required":false,"since":1746093600}}`,
			map[string]any{"network_id": "N_1", "number": "0"}, "name", "name"},
		{"getDeviceSwitchPort", "updateDeviceSwitchPort", `{"portId":"1","name":"a","tags":["x",null],"vlan":"trunk","voiceVlan":20,"allowedVlans":["1","3-4"],"linkNegotiationCapabilities":["Auto negotiate"],
			"profile":{"enabled":false,"id":"1284392014819","iname":[],"kind":{"a":1}},"macAllowList":{"0":"aa"},"dot3az":{"enabled":"yes"}}`,
			map[string]any{"serial": "Q2XX-0000-0001", "port_id": "1"}, "name", "name"},
		{"getNetworkApplianceVlan", "updateNetworkApplianceVlan", `{"id":"1234","interfaceId":"284719","name":"a","subnet":"192.168.1.0/24","fixedIpAssignments":{"22:33:44:55:66:77":{"ip":"1.2.3.4","name":"n","until":"never"}},
			"reservedIpRanges":[{"start":"192.168.1.0","end":"192.168.1.1","comment":"c","hosts":[]}],"dhcpOptions":[{"code":"5","type":"text","value":"five"}],"ipv6":{"enabled":true,"prefixAssignments":"auto"},"mandatoryDhcp":true}`,
			map[string]any{"network_id": "N_1", "vlan_id": "1234"}, "name", "name"},
		{"getNetworkGroupPolicy", "updateNetworkGroupPolicy", `{"groupPolicyId":"101","name":"a","scheduling":{"enabled":true,"monday":{"active":true,"from":"9:00","to":"17:00","breaks":[]}},
			"firewallAndTrafficShaping":{"settings":"custom","l7FirewallRules":[{"policy":"deny","type":"blockedCountries","value":["IT"]},{"policy":"deny","type":"application","value":{"id":"1","name":"n"}}]},"vlanTagging":{"settings":"custom","vlanId":"1"},"bonjourForwarding":[]}`,
			map[string]any{"network_id": "N_1", "group_policy_id": "101"}, "name", "name"},
		{"getOrganization", "updateOrganization", `{"id":"1","name":"a","url":"https://x","api":{"enabled":true,"version":2},"management":{"details":[{"name":"n","value":"v","unit":1}]},"licensing":"co-term","cloud":{"region":{"name":"North America"}}}`,
			map[string]any{"organization_id": "1"}, "name", "name"},
	} {
		kept := new(keptResource)
		var want map[string]any
		for _, into := range []*map[string]any{&kept.document, &want} {
			if err := json.Unmarshal([]byte(one.document), into); err != nil {
				t.Fatal(err)
			}
		}
		upstream := httptest.NewServer(kept)
		t.Cleanup(upstream.Close)
		h := build(t, plan{broker: fast, client: func(c *dashboard.Config) { c.BaseURL = upstream.URL + "/api/v1" }})
		ctx := withOrganization(context.Background(), "1")
		before, err := h.call(ctx, t, one.get, one.path)
		if err != nil {
			t.Errorf("%s: %v", one.get, err)
			continue
		}
		put := h.contract.Operation(one.put)
		request := h.request(t, one.put, nil)
		copyCommon(request, before)
		path := h.request(t, one.put, one.path)
		path.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			request.Set(fd, v)
			return true
		})
		request.Set(request.Descriptor().Fields().ByName(protoreflect.Name(one.name)), protoreflect.ValueOfString("changed"))
		if err := h.conn.Invoke(ctx, put.Name, request, dynamicpb.NewMessage(put.Descriptor.Output())); err != nil {
			t.Errorf("%s: %v", one.put, err)
			continue
		}
		if want[one.key] = "changed"; kept.puts != 1 || !reflect.DeepEqual(kept.document, want) {
			t.Errorf("%s: of %v came %v", one.put, want, kept.document)
		}
		after, err := h.call(ctx, t, one.get, one.path)
		if err != nil {
			t.Fatal(err)
		}
		before.Set(before.Descriptor().Fields().ByName(protoreflect.Name(one.name)), protoreflect.ValueOfString("changed"))
		if !proto.Equal(before.Interface(), after.Interface()) {
			t.Errorf("%s: read\n%v, want\n%v", one.get, after, before)
		}
	}
}

// TestAdditionalPropertiesRefused: what has a value already, or no place, is named, and
// nothing is sent.
func TestAdditionalPropertiesRefused(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast})
	deep := structpb.NewNullValue()
	for range 60 {
		deep = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{deep}})
	}
	of := func(key string, value *structpb.Value) map[string]any {
		return map[string]any{"additional_properties": (&structpb.Struct{Fields: map[string]*structpb.Value{key: value}}).ProtoReflect()}
	}
	one, network := structpb.NewNumberValue(1), map[string]any{"network_id": "N_1"}
	for _, row := range []struct {
		operation string
		fields    []map[string]any
		names     string // the field that is named
	}{
		{"updateNetwork", []map[string]any{network, {"name": "n"}, of("name", one)}, "additional_properties[name]"},
		{"updateNetwork", []map[string]any{network, {"null_fields": []string{"name"}}, of("name", one)}, "additional_properties[name]"},
		{"updateNetwork", []map[string]any{network, {"empty_fields": []string{"tags"}}, of("tags", one)}, "additional_properties[tags]"},
		{"updateNetwork", []map[string]any{network, of("networkId", one)}, "additional_properties[networkId]"},
		{"updateNetwork", []map[string]any{network, of("a", deep)}, "additional_properties[a]"},
		{"updateNetwork", []map[string]any{network, of("a", structpb.NewStringValue(strings.Repeat("\x01", 3<<20)))}, "additional_properties"},
		{"getNetwork", []map[string]any{network}, "additional_properties"},
		{"getOrganizationNetworks", []map[string]any{{"organization_id": "1"}}, "additional_properties"},
		{"deleteNetwork", []map[string]any{network}, "additional_properties"},
	} {
		fields := make(map[string]any)
		for _, some := range row.fields {
			maps.Copy(fields, some)
		}
		in := h.request(t, row.operation, fields)
		if in.Descriptor().Fields().ByName("additional_properties") == nil { // a client that sends it all the same
			wire, err := proto.Marshal(of("a", one)["additional_properties"].(protoreflect.Message).Interface())
			if err != nil {
				t.Fatal(err)
			}
			in.SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, 2047, protowire.BytesType), wire))
		}
		m := h.contract.Operation(row.operation)
		err := h.conn.Invoke(context.Background(), m.Name, in, dynamicpb.NewMessage(m.Descriptor.Output()), grpc.MaxCallSendMsgSize(8<<20))
		wantCode(t, row.operation+" "+row.names, err, codes.InvalidArgument, "BAD_REQUEST")
		violations := detailOf[*errdetails.BadRequest](status.Convert(err)).GetFieldViolations()
		if len(violations) != 1 || !strings.HasPrefix(violations[0].GetField(), row.names) {
			t.Errorf("%s: named is %v, want %s", row.operation, violations, row.names)
		}
	}
	if n := h.broker.Attempts(); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}
