package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
)

// TestBothFacesAreAudited: a write by gRPC and one by REST have a line each in the file of
// the configuration, a read has one where it is asked for, and bodies stand nowhere.
func TestBothFacesAreAudited(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	p := launch(t, "sandbox: true\naudit: {to: "+file+", reads: true}\n")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := grpc.NewClient(p.listen, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const body = `{"name":"hunter2hunter2"}`
	own := brokerv1.NewBrokerServiceClient(conn)
	answer, err := own.Call(ctx, &brokerv1.CallRequest{Method: "GET", Path: "/organizations"})
	if err != nil {
		t.Fatal(err)
	}
	var organizations []struct{ ID string }
	if err := json.Unmarshal(answer.GetBody(), &organizations); err != nil || len(organizations) == 0 {
		t.Fatal(err, len(organizations))
	}
	path := "/organizations/" + organizations[0].ID
	if _, err := own.Call(ctx, &brokerv1.CallRequest{Method: "PUT", Path: path, Body: []byte(body)}); err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+p.rest+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Idempotency-Key", "by-REST")
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", response, err)
	}
	_ = response.Body.Close()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for line := range strings.Lines(string(text)) {
		var l struct {
			Kind, Face, Operation, Path, Outcome string
			Key                                  string `json:"idempotency_key"`
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		told = append(told, strings.Join([]string{l.Kind, l.Face, l.Operation, l.Path, l.Outcome, l.Key}, " "))
	}
	want := []string{"read grpc getOrganizations /organizations done ", "write grpc updateOrganization " + path + " done ", "write rest updateOrganization " + path + " done by-REST"}
	if strings.Join(told, "\n") != strings.Join(want, "\n") || strings.Contains(string(text), "hunter2") {
		t.Errorf("the file holds\n%s", text)
	}
}
