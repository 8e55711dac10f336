//go:build openapi

package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/merakibroker/merakibroker/service/contract"
)

// TestDocumentOlder lets a contract live through real releases of the vendor's
// document, forth and back. Each step keeps what the one before has, which the
// generator itself sees to; a second run makes the same bytes; a release that
// comes again makes what it made; and a client with the protos of any step is
// served by the newest: all that it can ask is sent, and all that it can read
// comes, in the fields that it knows; by the transcoder with every field of an
// answer, and by a server in front of a sandbox.
func TestDocumentOlder(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("MERAKI_OPENAPI_OLDER")
	if dir == "" {
		t.Fatal("MERAKI_OPENAPI_OLDER has to name the directory of the older OpenAPI documents")
	}
	_, newest := realDocument(t)
	older := func(version string) []byte {
		data, err := readDocument(filepath.Join(dir, "openapi-"+version+".json.gz"))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	middle := older("1.72.0")
	var steps []*output
	lying := map[string][]byte{}
	for _, document := range [][]byte{older("1.42.0"), middle, newest, middle, newest} {
		made := mustGenerate(t, document, lying)
		steps = append(steps, made)
		lying = made.files
	}
	last := steps[len(steps)-1]
	if again := mustGenerate(t, newest, last.files); !maps.EqualFunc(last.files, again.files, bytes.Equal) {
		t.Errorf("a second run makes something else%s", firstDifference(last.files, again.files))
	}
	if !maps.EqualFunc(steps[2].files, last.files, bytes.Equal) {
		t.Errorf("the release that came again makes something else%s", firstDifference(steps[2].files, last.files))
	}
	var compiled []*descriptorpb.FileDescriptorSet
	for _, step := range steps[:len(steps)-1] {
		compiled = append(compiled, setOf(mustCompile(t, step.files)))
	}
	compiled = append(compiled, compiled[2]) // the same bytes
	bufBreaking(t, compiled)
	contracts := make([]*contract.Contract, len(steps))
	for i, set := range compiled {
		var err error
		if contracts[i], err = contract.New(set); err != nil {
			t.Fatal(err)
		}
	}
	broker := contracts[len(steps)-1]
	server := serveNewest(t, broker)
	calls := 0
	for i, step := range contracts[:len(steps)-1] {
		asked, answered := 0, 0
		for _, m := range step.Methods() {
			newer := broker.RPC(m.Name)
			oldClient(t, m, newer)
			if newer == nil {
				continue
			}
			if asked++; i == 2 {
				continue // the newest itself, as it turned out above
			}
			if calls++; server.ask(t, m, newer, calls) {
				answered++
			}
		}
		if i == 2 {
			continue
		}
		t.Logf("step %d: %d RPCs of the older client are served, %d answered with a result by the server", i+1, asked, answered)
		if answered < asked-4 {
			t.Errorf("step %d: the Dashboard refused the values of %d; measured are 4", i+1, asked-answered)
		}
	}
}

// bufBreaking holds each step against the one before with the tool and the rules
// that `make breaking` has, deletion included.
func bufBreaking(t *testing.T, steps []*descriptorpb.FileDescriptorSet) {
	t.Helper()
	buf := os.Getenv("BUF")
	if buf == "" {
		t.Fatal("BUF has to name the program")
	}
	dir := t.TempDir()
	var images []string
	for i, step := range steps {
		data, err := proto.MarshalOptions{Deterministic: true}.Marshal(step)
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, filepath.Join(dir, fmt.Sprintf("%d.binpb", i)))
		if err := os.WriteFile(images[i], data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range images[1:] {
		cmd := exec.CommandContext(t.Context(), buf, "breaking", images[i+1], "--against", images[i], "--exclude-imports", "--config", "buf.yaml")
		cmd.Dir = "../.."
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("step %d: %v: %.2000s", i+2, err, out)
		}
	}
}
