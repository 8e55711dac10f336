// Package lint holds what deploy/ ships against the types of those who read it:
// Istio's own, and Prometheus's own parser and engine. A field that Istio does
// not know, or a query that is none, fails here and not in a cluster. Panels and alerts
// are tried against what a run of merakid reports: run_test.go.
package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	"sigs.k8s.io/yaml"
	yamlv2 "sigs.k8s.io/yaml/goyaml.v2"
)

// specs are the messages that Istio reads a kind's spec into.
var specs = map[string]func() proto.Message{
	"Gateway":             func() proto.Message { return new(networking.Gateway) },
	"ServiceEntry":        func() proto.Message { return new(networking.ServiceEntry) },
	"VirtualService":      func() proto.Message { return new(networking.VirtualService) },
	"DestinationRule":     func() proto.Message { return new(networking.DestinationRule) },
	"PeerAuthentication":  func() proto.Message { return new(security.PeerAuthentication) },
	"AuthorizationPolicy": func() proto.Message { return new(security.AuthorizationPolicy) },
}

// TestIstioKnowsEveryField decodes each resource strictly, as Istio's webhook does.
func TestIstioKnowsEveryField(t *testing.T) {
	seen := make(map[string]bool)
	for _, file := range []string{"policies.yaml", "traffic.yaml", "dashboard.yaml"} {
		text, err := os.ReadFile(filepath.Join("..", "istio", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range documents(t, text) {
			var resource struct {
				Kind     string
				Metadata struct{ Name string }
				Spec     json.RawMessage
			}
			if err := json.Unmarshal(doc, &resource); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			make := specs[resource.Kind]
			if make == nil {
				t.Errorf("%s: kind %q is not one that this test knows", file, resource.Kind)
				continue
			}
			seen[resource.Kind] = true
			if err := protojson.Unmarshal(resource.Spec, make()); err != nil {
				t.Errorf("%s: %s %s: %v", file, resource.Kind, resource.Metadata.Name, err)
			}
		}
	}
	if len(seen) != len(specs) {
		t.Errorf("saw only %v", seen)
	}
}

// documents gives each document of a YAML file as JSON.
func documents(t *testing.T, text []byte) [][]byte {
	t.Helper()
	var all [][]byte
	d := yamlv2.NewDecoder(bytes.NewReader(text))
	for {
		var doc any
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		one, err := yamlv2.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		asJSON, err := yaml.YAMLToJSONStrict(one)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, asJSON)
	}
}
