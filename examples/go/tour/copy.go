package main

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	organizations "github.com/merakibroker/merakibroker/gen/meraki/organizations/v1"
	wireless "github.com/merakibroker/merakibroker/gen/meraki/wireless/v1"
)

// copyFields copies what two messages have in common, by name and type:
// additional_properties, too, so that what was read can be written back whole.
func copyFields(to, from proto.Message) {
	target := to.ProtoReflect()
	from.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if into := target.Descriptor().Fields().ByName(fd.Name()); into != nil && typeOf(into) == typeOf(fd) {
			target.Set(into, v)
		}
		return true
	})
}

func typeOf(fd protoreflect.FieldDescriptor) string {
	switch {
	case fd.IsMap():
		return fmt.Sprint("map of ", fd.MapKey().Kind(), " to ", typeOf(fd.MapValue()))
	case fd.Message() != nil:
		return fmt.Sprint(fd.Cardinality(), fd.Message().FullName())
	}
	return fmt.Sprint(fd.Cardinality(), fd.Kind())
}

// readModifyWrite changes one field of a resource, and all else stays as it was,
// also what the vendor's document does not show in the request.
func (v *visitor) readModifyWrite(ctx context.Context) error {
	networks, err := v.organizations.GetOrganizationNetworks(ctx, &organizations.GetOrganizationNetworksRequest{OrganizationId: &v.organization})
	if err != nil {
		return err
	}
	network, number := networks.GetItems()[0].GetId(), "0"
	read := &wireless.GetNetworkWirelessSsidRequest{NetworkId: &network, Number: &number}
	before, err := v.wireless.GetNetworkWirelessSsid(ctx, read)
	if err != nil {
		return err
	}
	request := new(wireless.UpdateNetworkWirelessSsidRequest)
	copyFields(request, before)
	request.NetworkId, request.Number, request.Name = &network, &number, proto.String("lounge")
	if _, err := v.wireless.UpdateNetworkWirelessSsid(ctx, request); err != nil {
		return err
	}
	after, err := v.wireless.GetNetworkWirelessSsid(ctx, read)
	if err != nil {
		return err
	}
	if before.Name = proto.String("lounge"); !proto.Equal(before, after) {
		return fmt.Errorf("wrote back %v and read %v", before, after)
	}
	fmt.Printf("read, modify, write: the SSID is now %q, and all else as before\n", after.GetName())
	return nil
}
