//go:build openapi

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/model"
	"github.com/merakibroker/merakibroker/service/contract"
)

// realDocument is the vendor's document, which is not part of the repository.
// The build tag says that it is there; MERAKI_OPENAPI says where.
func realDocument(t *testing.T) (path string, data []byte) {
	t.Helper()
	path = os.Getenv("MERAKI_OPENAPI")
	if path == "" {
		t.Fatal("MERAKI_OPENAPI has to name the vendor's OpenAPI document")
	}
	data, err := readDocument(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, data
}

// TestDocumentUpToDate: what is committed is what the document asks for.
func TestDocumentUpToDate(t *testing.T) {
	t.Parallel()
	path, _ := realDocument(t)
	var stdout, stderr bytes.Buffer
	if code := run(context.Background(), []string{"-spec", path, "-out", "../../proto/meraki", "-check"}, &stdout, &stderr); code != 0 {
		t.Errorf("exit code %d: %s%s", code, &stdout, &stderr)
	}
	to := t.TempDir()
	if code := run(context.Background(), []string{"-out", "../../proto/meraki", "-descriptors", to}, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	for _, name := range []string{"set.binpb", "descriptors.go"} {
		made, err := os.ReadFile(filepath.Join(to, name))
		if err != nil {
			t.Fatal(err)
		}
		committed, err := os.ReadFile(filepath.Join("../../gen/descriptors", name))
		if err != nil || !bytes.Equal(made, committed) {
			t.Errorf("gen/descriptors/%s is not what proto/ compiles to: run make generate (%v)", name, err)
		}
	}
}

// TestDocumentBothWays holds the document against the contract, read with
// nothing of the generator's: every operation, parameter and property has its
// place, on disk and in a contract made from nothing; and in the latter every
// RPC and field comes from the document and has the type that it describes.
func TestDocumentBothWays(t *testing.T) {
	t.Parallel()
	_, data := realDocument(t)
	var doc struct {
		Info  struct{ Version string }
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	operations := map[string]*spoken{}
	for path, verbs := range doc.Paths {
		for verb, raw := range verbs {
			op := &spoken{path: path, verb: strings.ToUpper(verb)}
			if err := json.Unmarshal(raw, op); err != nil {
				t.Fatal(err)
			}
			operations[op.OperationID] = op
		}
	}

	committed, err := contract.Load()
	if err != nil {
		t.Fatal(err)
	}
	fresh := mustCompile(t, mustGenerate(t, data, nil).files)
	for _, c := range []*judge{
		{T: t, what: "committed", contract: committed},
		{T: t, what: "fresh", contract: contractOf(t, fresh), exact: true},
	} {
		c.seen, c.fits = map[protoreflect.FullName]bool{}, map[protoreflect.FullName]int{}
		c.misfits = map[protoreflect.FullName][]string{}
		twins, jobs := 0, 0
		for id, op := range operations {
			m := c.contract.Operation(id)
			if m == nil {
				t.Errorf("%s: %s has no RPC", c.what, id)
				continue
			}
			if m.Operation.GetPath() != op.path || m.Operation.GetVerb().String() != "VERB_"+op.verb {
				t.Errorf("%s: %s is %v %s", c.what, id, m.Operation.GetVerb(), m.Operation.GetPath())
			}
			if op.paginated() {
				twins++
				name := strings.Replace(m.Name, "/Get", "/Stream", 1)
				if twin := c.contract.RPC(name); twin == nil || !twin.Streaming || twin.Descriptor.Output() != m.Descriptor.Output() {
					t.Errorf("%s: %s has no streaming twin", c.what, id)
				}
			}
			if m.Operation.GetJob() != nil {
				jobs++
				name := strings.Replace(m.Name, "/Create", "/Run", 1)
				read := c.contract.Operation(m.Operation.GetJob().GetRead())
				if twin := c.contract.RPC(name); twin == nil || !twin.Runs || read == nil || twin.Descriptor.Output() != read.Descriptor.Output() {
					t.Errorf("%s: %s starts a job and has no twin that follows it", c.what, id)
				}
			}
			c.operation(op, m)
		}
		if doc.Info.Version == "1.73.0" && (len(operations) != 992 || twins != 165 || jobs != 18) {
			t.Errorf("%d operations, %d of them paginated, %d start a job; 1.73.0 has 992, 165 and 18", len(operations), twins, jobs)
		}
		if c.exact {
			c.backwards(operations, fresh)
			c.settled()
		}
	}
}

// TestDocumentOverrides: an override of an operation that is not there, or of a
// limit that the document no longer states, is a mistake.
func TestDocumentOverrides(t *testing.T) {
	t.Parallel()
	_, data := realDocument(t)
	overrides, err := model.Known()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range slices.Sorted(maps.Keys(overrides)) {
		if !bytes.Contains(data, []byte(`"operationId":"`+id+`"`)) && !bytes.Contains(data, []byte(`"operationId": "`+id+`"`)) {
			t.Errorf("the override of %s is of no operation", id)
		}
	}
	made := mustGenerate(t, data, nil)
	if len(made.warnings) > 0 {
		t.Errorf("the document is not understood throughout: %v", made.warnings)
	}
	c := contractOf(t, mustCompile(t, made.files))
	limited := 0
	for _, m := range c.Methods() {
		if !m.Streaming && m.Operation.GetLimit() != nil {
			limited++
		}
	}
	if n := bytes.Count(data, []byte(" rate limit of ")) + bytes.Count(data, []byte("times within a single")); limited == 0 || n < limited {
		t.Errorf("%d operations have a limit, %d descriptions state one", limited, n)
	}
}

// TestDocumentReleases lets the committed contract live through random releases
// of the real document.
func TestDocumentReleases(t *testing.T) {
	t.Parallel()
	_, data := realDocument(t)
	have, err := lying("../../proto/meraki")
	if err != nil {
		t.Fatal(err)
	}
	releases(t, data, have, newMutator(1, 0.02), 2)
}
