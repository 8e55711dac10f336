// Lists the organizations that the broker's key sees, and their devices:
//
//	go run ./cmd/merakid -sandbox &
//	go run ./examples/go
//
// What else a caller can do is in examples/go/tour.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	organizations "github.com/merakibroker/merakibroker/gen/meraki/organizations/v1"
)

func main() {
	address := flag.String("address", "127.0.0.1:50051", "where the broker listens")
	flag.Parse()
	conn, err := grpc.NewClient(*address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20))) // answers may have more than gRPC's usual 4 MiB
	if err == nil {
		err = list(context.Background(), organizations.NewOrganizationsServiceClient(conn))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func list(ctx context.Context, broker organizations.OrganizationsServiceClient) error {
	all, err := broker.GetOrganizations(ctx, &organizations.GetOrganizationsRequest{})
	if err != nil {
		return err
	}
	for _, o := range all.GetItems() {
		fmt.Println(o.GetId(), o.GetName())
		pages, err := broker.StreamOrganizationDevices(ctx, &organizations.GetOrganizationDevicesRequest{OrganizationId: o.Id})
		for err == nil {
			var page *organizations.GetOrganizationDevicesResponse
			page, err = pages.Recv()
			for _, d := range page.GetItems() {
				fmt.Println("  ", d.GetSerial(), d.GetModel(), d.GetName())
			}
		}
		if !errors.Is(err, io.EOF) {
			return err
		}
	}
	return nil
}
