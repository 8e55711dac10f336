package service_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/dashboard"
)

// answering is a harness in front of a Dashboard that gives these documents to
// the calls in their order, the last one to all that follow; a document may
// begin with a link to the page that follows.
func answering(t *testing.T, documents ...string) *harness {
	t.Helper()
	n := 0
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		doc := documents[min(n, len(documents)-1)]
		if n++; n < len(documents) {
			w.Header().Set("Link", fmt.Sprintf(`<https://api.meraki.com/api/v1/organizations/1/networks?startingAfter=%d>; rel=next`, n))
		}
		_, _ = io.WriteString(w, doc)
	}))
	t.Cleanup(upstream.Close)
	return build(t, plan{broker: fast, client: func(c *dashboard.Config) { c.BaseURL = upstream.URL + "/api/v1" }})
}

// TestDriftIsTold: an answer that differs from the contract says in how many
// places, and ListDrift says which.
func TestDriftIsTold(t *testing.T) {
	t.Parallel()
	h := answering(t, `[{"id":"1","name":5,"newProperty":[{"a":1}],"api":{"enabled":"perhaps"}}]`)
	ctx := context.Background()
	var headers metadata.MD
	if _, err := h.call(ctx, t, "getOrganizations", nil, grpc.Header(&headers)); err != nil {
		t.Fatal(err)
	}
	if got := headers.Get("meraki-drift"); !slices.Equal(got, []string{"3"}) {
		t.Errorf("meraki-drift is %q for three differences", got)
	}
	listed, err := h.own.ListDrift(ctx, &brokerv1.ListDriftRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, d := range listed.GetItems() {
		paths = append(paths, d.GetPath())
	}
	if !slices.Equal(paths, []string{"items[].api.enabled", "items[].name", "items[].newProperty"}) {
		t.Errorf("ListDrift has %q", paths)
	}
	h = answering(t, `[{"id":"1"}]`)
	if _, err := h.call(ctx, t, "getOrganizations", nil, grpc.Header(&headers)); err != nil || len(headers.Get("meraki-drift")) > 0 {
		t.Errorf("meraki-drift is %q without a difference, %v", headers.Get("meraki-drift"), err)
	}
}

// TestDriftOfAStream: the headers have the first page's, the trailers the sum.
func TestDriftOfAStream(t *testing.T) {
	t.Parallel()
	h := answering(t, `[{"id":"N_1","odd":1}]`, `[{"id":"N_2","odd":1,"odder":2}]`)
	stream, next := h.pages(withOrganization(context.Background(), "1"), t, "1")
	for {
		if _, err := next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	header, err := stream.Header()
	if err != nil {
		t.Fatal(err)
	}
	if first, sum := header.Get("meraki-drift"), stream.Trailer().Get("meraki-drift"); !slices.Equal(first, []string{"1"}) || !slices.Equal(sum, []string{"3"}) {
		t.Errorf("the headers say %q and the trailers %q, want 1 and 3", first, sum)
	}
}

// TestLargeMessageIsTold: a client with its usual limit of 4 MiB refuses the
// message by itself; what it has of it are the headers.
func TestLargeMessageIsTold(t *testing.T) {
	t.Parallel()
	h := answering(t, `[{"id":"1","name":"`+strings.Repeat("x", 5<<20)+`"}]`)
	var headers metadata.MD
	_, err := h.call(context.Background(), t, "getOrganizations", nil, grpc.Header(&headers), grpc.MaxCallRecvMsgSize(4<<20))
	wantCode(t, "a message above the client's limit", err, codes.ResourceExhausted, "")
	if got := headers.Get("meraki-message-bytes"); len(got) != 1 || len(got[0]) != 7 {
		t.Errorf("meraki-message-bytes is %q", got)
	}
}

// TestErrorsInPlaceOfAList: they are a fault and not an empty list, and nothing
// is sent again.
func TestErrorsInPlaceOfAList(t *testing.T) {
	t.Parallel()
	h := answering(t, `{"errors":["the first","the second"]}`)
	_, err := h.call(context.Background(), t, "getOrganizations", nil)
	wantCode(t, "errors in a 200", err, codes.Internal, "ANSWERED_WITH_ERRORS")
	if n := h.broker.Attempts(); n != 1 {
		t.Errorf("%d attempts were made", n)
	}
	if messages := detailOf[*brokerv1.DashboardError](status.Convert(err)).GetMessages(); !slices.Equal(messages, []string{"the first", "the second"}) {
		t.Errorf("the messages are %q", messages)
	}
	h = answering(t, `{"errors":["a part has failed"],"organizationId":"1"}`)
	if _, err := h.call(context.Background(), t, "getOrganization", map[string]any{"organization_id": "1"}); err != nil {
		t.Errorf("errors beside an object: %v", err)
	}
}
