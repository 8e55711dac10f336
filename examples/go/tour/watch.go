package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	broker "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	devices "github.com/merakibroker/merakibroker/gen/meraki/devices/v1"
	organizations "github.com/merakibroker/merakibroker/gen/meraki/organizations/v1"
)

// watch follows a list, whoever changes it: the first message has all of it, each one
// after it the rows that differ. However many watch, the Dashboard is read once.
func (v *visitor) watch(ctx context.Context) error {
	ctx, leave := context.WithCancel(ctx) // the watch ends when nobody wants it
	defer leave()
	request, err := anypb.New(&organizations.GetOrganizationDevicesRequest{OrganizationId: &v.organization})
	if err != nil {
		return err
	}
	stream, err := v.watches.Watch(ctx, &broker.WatchRequest{Request: request, Age: durationpb.New(time.Second)})
	if err != nil {
		return err
	}
	rows := make(map[string]*organizations.GetOrganizationDevicesResponse_Item)
	next := func() (changed int, err error) {
		for more := true; more; {
			update, err := stream.Recv()
			if err != nil {
				return 0, err
			}
			var now, gone organizations.GetOrganizationDevicesResponse
			if err := errors.Join(unpack(update.GetRemoved(), &gone), unpack(update.GetChanged(), &now)); err != nil {
				return 0, err
			}
			if update.GetWhole() {
				clear(rows)
			}
			for _, d := range gone.GetItems() {
				delete(rows, d.GetSerial())
			}
			for _, d := range now.GetItems() {
				rows[d.GetSerial()] = d
				changed++
			}
			more = update.GetMore()
		}
		return changed, nil
	}
	first, err := next()
	if err != nil {
		return err
	}
	if _, err := v.devices.UpdateDevice(ctx, &devices.UpdateDeviceRequest{Serial: &v.serial, Name: proto.String("shelf 5")}); err != nil {
		return err
	}
	then, err := next()
	if err != nil {
		return err
	}
	if first != 20 || then != 1 || len(rows) != 20 || rows[v.serial].GetName() != "shelf 5" {
		return fmt.Errorf("20 devices and then the renamed one were meant, not %d and %d, %v", first, then, rows[v.serial])
	}
	fmt.Printf("watch: %d devices, then the one that is now %q\n", first, rows[v.serial].GetName())
	return nil
}

// unpack takes a message out of an Any that may be absent.
func unpack(from *anypb.Any, to proto.Message) error {
	if from == nil {
		return nil
	}
	return from.UnmarshalTo(to)
}
