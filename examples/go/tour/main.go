// A tour of what a caller of the broker does: a typed read, a collection page by
// page, a write that clears a field, many writes as few requests, a list that is watched,
// a job from its start to its end, a failure with its details, a deadline, and trying
// again when told to. It checks what it sees and exits with 1 when something is not as
// promised, so it serves as a test against the sandbox:
//
//	go run ./cmd/merakid -sandbox &
//	go run ./examples/go/tour
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	broker "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	devices "github.com/merakibroker/merakibroker/gen/meraki/devices/v1"
	organizations "github.com/merakibroker/merakibroker/gen/meraki/organizations/v1"
	wireless "github.com/merakibroker/merakibroker/gen/meraki/wireless/v1"
)

func main() {
	address := flag.String("address", "127.0.0.1:50051", "where the broker listens")
	flag.Parse()
	if err := tour(*address); err != nil {
		fmt.Fprintln(os.Stderr, "tour:", err)
		os.Exit(1)
	}
	fmt.Println("everything is as promised")
}

// A visitor holds the clients, one for each section, over one connection.
type visitor struct {
	organizations organizations.OrganizationsServiceClient
	devices       devices.DevicesServiceClient
	wireless      wireless.WirelessServiceClient
	batches       broker.BatchServiceClient
	watches       broker.WatchServiceClient
	// Learned on the way.
	organization, serial, other string
}

func tour(address string) error {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20))) // answers may have more than gRPC's usual 4 MiB
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	v := &visitor{
		organizations: organizations.NewOrganizationsServiceClient(conn),
		devices:       devices.NewDevicesServiceClient(conn),
		wireless:      wireless.NewWirelessServiceClient(conn),
		batches:       broker.NewBatchServiceClient(conn),
		watches:       broker.NewWatchServiceClient(conn),
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, stop := range []struct {
		name string
		show func(context.Context) error
	}{
		{"read", v.read}, {"pages", v.pages}, {"write", v.write}, {"read, modify, write", v.readModifyWrite},
		{"many writes", v.many}, {"watch", v.watch}, {"job", v.job}, {"failure", v.failure}, {"deadline", v.deadline}, {"retry as told", v.retry},
	} {
		if err := stop.show(ctx); err != nil {
			return fmt.Errorf("%s: %w", stop.name, err)
		}
	}
	return nil
}

// read calls a typed RPC. The reply's headers say what it cost.
func (v *visitor) read(ctx context.Context) error {
	var header metadata.MD
	all, err := v.organizations.GetOrganizations(ctx, &organizations.GetOrganizationsRequest{}, grpc.Header(&header))
	if err != nil {
		return err
	}
	if len(all.GetItems()) == 0 || all.GetItems()[0].GetId() == "" {
		return errors.New("no organization came back")
	}
	v.organization = all.GetItems()[0].GetId()
	fmt.Printf("read: %d organizations, waited %v ms for a slot\n", len(all.GetItems()), header.Get("meraki-queue-ms"))
	return nil
}

// pages takes a collection page by page. The broker fetches one page ahead, and
// stops when ctx ends or nobody reads.
func (v *visitor) pages(ctx context.Context) error {
	stream, err := v.organizations.StreamOrganizationDevices(ctx, &organizations.GetOrganizationDevicesRequest{
		OrganizationId: &v.organization, PerPage: proto.Int64(7),
	})
	pages, seen := 0, make(map[string]bool)
	for err == nil {
		var page *organizations.GetOrganizationDevicesResponse
		if page, err = stream.Recv(); err != nil {
			break
		}
		pages++
		for _, d := range page.GetItems() {
			seen[d.GetSerial()] = true
			v.serial, v.other = d.GetSerial(), v.serial
		}
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	if pages != 3 || len(seen) != 20 {
		return fmt.Errorf("the sandbox's 20 devices are 3 pages of 7; got %d devices in %d pages", len(seen), pages)
	}
	fmt.Printf("pages: %d devices in %d pages\n", len(seen), pages)
	return nil
}

// write sets one field and clears another. A field that is absent stays as it
// is; one that null_fields names is sent as JSON null.
func (v *visitor) write(ctx context.Context) error {
	set, err := v.devices.UpdateDevice(ctx, &devices.UpdateDeviceRequest{
		Serial: &v.serial, Name: proto.String("shelf 3"), FloorPlanId: proto.String("g_1234567"),
	})
	if err != nil {
		return err
	}
	if set.GetName() != "shelf 3" || set.GetFloorPlanId() != "g_1234567" {
		return fmt.Errorf("wrote name and floor plan, got back %q and %q", set.GetName(), set.GetFloorPlanId())
	}
	cleared, err := v.devices.UpdateDevice(ctx, &devices.UpdateDeviceRequest{
		Serial: &v.serial, NullFields: []string{"floor_plan_id"},
	})
	if err != nil {
		return err
	}
	if cleared.FloorPlanId != nil || cleared.GetName() != "shelf 3" {
		return fmt.Errorf("cleared the floor plan alone, got back name %q and floor plan %q", cleared.GetName(), cleared.GetFloorPlanId())
	}
	fmt.Printf("write: %s is now %q and on no floor plan\n", v.serial, cleared.GetName())
	return nil
}

// deadline: a call carries its own, and the broker gives up with it.
func (v *visitor) deadline(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Nanosecond)
	defer cancel()
	_, err := v.devices.GetDevice(ctx, &devices.GetDeviceRequest{Serial: &v.serial})
	if f := failureOf(err); f.code != codes.DeadlineExceeded {
		return fmt.Errorf("a nanosecond was enough: %v", err)
	}
	fmt.Println("deadline: given up in time")
	return nil
}
