package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	broker "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	devices "github.com/merakibroker/merakibroker/gen/meraki/devices/v1"
	organizations "github.com/merakibroker/merakibroker/gen/meraki/organizations/v1"
)

// A failure is what a failed call tells, taken out of its details.
type failure struct {
	code       codes.Code
	reason     string
	retryAfter time.Duration
	dashboard  *broker.DashboardError
}

func failureOf(err error) failure {
	s := status.Convert(err)
	f := failure{code: s.Code()}
	for _, detail := range s.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			f.reason = d.GetReason()
		case *errdetails.RetryInfo:
			f.retryAfter = d.GetRetryDelay().AsDuration()
		case *broker.DashboardError:
			f.dashboard = d
		}
	}
	return f
}

// nowhere is a serial as they look, of no device.
const nowhere = "Q2XX-XXXX-XXXX"

// failure asks for what is not there.
func (v *visitor) failure(ctx context.Context) error {
	_, err := v.devices.GetDevice(ctx, &devices.GetDeviceRequest{Serial: proto.String(nowhere)})
	f := failureOf(err)
	if f.code != codes.NotFound || f.reason != "NOT_FOUND" {
		return fmt.Errorf("expected NOT_FOUND, got %v with reason %q", f.code, f.reason)
	}
	if f.dashboard.GetHttpStatus() != 404 || len(f.dashboard.GetMessages()) == 0 {
		return fmt.Errorf("the Dashboard's own words are missing: %v", f.dashboard)
	}
	fmt.Printf("failure: %s (%s), the Dashboard said %q with HTTP %d\n", f.reason, f.dashboard.GetOperation(),
		f.dashboard.GetMessages()[0], f.dashboard.GetHttpStatus())
	return nil
}

// retry spends more than the budget allows at once. Calls that cannot make their
// deadline are refused before anything is sent, and told when to come back.
func (v *visitor) retry(ctx context.Context) error {
	const many = 60
	refused := make(chan error, many)
	for i := range many {
		go func() {
			short, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			refused <- v.page(short, i)
		}()
	}
	var last failure
	count := 0
	for range many {
		err := <-refused
		switch f := failureOf(err); {
		case f.reason == "BUDGET_EXHAUSTED":
			last, count = f, count+1
		case f.code != codes.OK && f.code != codes.DeadlineExceeded:
			// One whose slot came at the last moment may still run into its deadline.
			return err
		}
	}
	if count == 0 || last.code != codes.ResourceExhausted || last.retryAfter <= 0 {
		return fmt.Errorf("%d of %d calls in 2 s were refused, with %v and come back in %v", count, many, last.code, last.retryAfter)
	}
	timer := time.NewTimer(last.retryAfter)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return errors.New("the delay is longer than the tour")
	}
	if err := v.page(ctx, many); err != nil {
		return fmt.Errorf("again after %v: %w", last.retryAfter, err)
	}
	fmt.Printf("retry as told: %d of %d refused; again after %v, done\n", count, many, last.retryAfter)
	return nil
}

// page reads one page; each i is another URL, because identical reads at one
// moment are one request.
func (v *visitor) page(ctx context.Context, i int) error {
	_, err := v.organizations.GetOrganizationDevices(ctx, &organizations.GetOrganizationDevicesRequest{
		OrganizationId: &v.organization, PerPage: proto.Int64(int64(10 + i)),
	})
	return err
}
