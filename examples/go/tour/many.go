package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	broker "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	devices "github.com/merakibroker/merakibroker/gen/meraki/devices/v1"
)

// many makes a list of writes with as few requests as it takes. Each has an outcome of
// its own: here one of three is about a device that is not there.
func (v *visitor) many(ctx context.Context) error {
	list := new(broker.ApplyWritesRequest)
	for _, serial := range []string{v.serial, v.other, nowhere} {
		request, err := anypb.New(&devices.UpdateDeviceRequest{Serial: &serial, Name: proto.String("shelf 4")})
		if err != nil {
			return err
		}
		list.Writes = append(list.Writes, &broker.Write{Id: serial, Request: request})
	}
	stream, err := v.batches.ApplyWrites(ctx, list)
	done := make(map[string]string)
	for err == nil {
		var outcome *broker.ApplyWritesResponse
		if outcome, err = stream.Recv(); err != nil {
			break
		}
		switch {
		case outcome.GetDone() != nil:
			done[outcome.GetId()] = outcome.GetDone().GetActionBatchId()
		case outcome.GetId() != nowhere || codes.Code(outcome.GetFailed().GetCode()) != codes.NotFound:
			return fmt.Errorf("%v", outcome)
		}
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	if len(done) != 2 || done[v.serial] == "" || done[v.serial] != done[v.other] {
		return fmt.Errorf("two writes in one action batch were meant, not %v", done)
	}
	fmt.Printf("many writes: 2 done in action batch %s, 1 failed by itself\n", done[v.serial])
	return nil
}

// job starts a live tool and follows it to its end, with one call.
func (v *visitor) job(ctx context.Context) error {
	stream, err := v.devices.RunDeviceLiveToolsPing(ctx, &devices.CreateDeviceLiveToolsPingRequest{Serial: &v.serial, Target: proto.String("198.51.100.7")})
	var last *devices.DeviceLiveToolsPing
	states := 0
	for err == nil {
		var state *devices.DeviceLiveToolsPing
		if state, err = stream.Recv(); err == nil {
			last, states = state, states+1
		}
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	if last.GetStatus() != "complete" {
		return fmt.Errorf("the ping ended as %v", last)
	}
	fmt.Printf("job: the ping is %s after %d states\n", last.GetStatus(), states)
	return nil
}
