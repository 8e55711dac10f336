package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/merakibroker/merakibroker/service/contract"
)

func TestWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	const head = `{"openapi":"3.0.1","info":{"version":"1"},"paths":`
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no flags":       {nil, misuse, "-spec, -descriptors, -annotations or -docs"},
		"unknown flag":   {[]string{"-spek", "x"}, misuse, "not defined: -spek"},
		"an argument":    {[]string{"-spec", "x", "y"}, misuse, `"y" is not a flag`},
		"check alone":    {[]string{"-check", "-descriptors", dir}, misuse, "-check needs -spec"},
		"no file":        {[]string{"-spec", filepath.Join(dir, "none")}, failed, "no such file"},
		"empty":          {[]string{"-spec", file("empty", "")}, failed, "ends too early"},
		"not JSON":       {[]string{"-spec", file("text", "hello")}, failed, "not a JSON document"},
		"two values":     {[]string{"-spec", file("two", "{} {}")}, failed, "something follows"},
		"half":           {[]string{"-spec", file("half", `{"openapi":`)}, failed, "ends too early"},
		"a list":         {[]string{"-spec", file("list", "[]")}, failed, "not a JSON object"},
		"Swagger":        {[]string{"-spec", file("swagger", `{"swagger":"2.0"}`)}, failed, "Swagger 2.0"},
		"another JSON":   {[]string{"-spec", file("other", `{"a":1}`)}, failed, `openapi field is ""`},
		"no paths":       {[]string{"-spec", file("paths", head+"{}}")}, failed, "no paths"},
		"no version":     {[]string{"-spec", file("version", `{"openapi":"3.0.1","paths":{"/a":{}}}`)}, failed, "no info.version"},
		"no operations":  {[]string{"-spec", file("nothing", head+`{"/a":{}}}`)}, failed, "no operations"},
		"no operationId": {[]string{"-spec", file("id", head+`{"/a":{"get":{}}}}`)}, failed, "GET /a has no operationId"},
		"one id twice":   {[]string{"-spec", file("twice", head+`{"/a":{"get":{"operationId":"x"}},"/b":{"get":{"operationId":"x"}}}}`)}, failed, "stands twice: GET /a and GET /b"},
		"not a path":     {[]string{"-spec", file("path", head+`{"a":{"get":{"operationId":"x"}}}}`)}, failed, `"a" is not a path`},
		"bad gzip":       {[]string{"-spec", file("gzip", "\x1f\x8bno")}, failed, "gzip"},
		"too deep":       {[]string{"-spec", file("deep", strings.Repeat("[", 5000))}, failed, "nested deeper"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			args := c.args
			if len(args) > 0 && args[0] == "-spec" {
				args = append(args, "-out", filepath.Join(t.TempDir(), "meraki"))
			}
			if name == "an argument" {
				args = c.args
			}
			if code := run(context.Background(), args, &stdout, &stderr); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if got := stderr.String(); !strings.Contains(got, c.says) || strings.Count(got, "\n") != 1 {
				t.Errorf("says %q; want one line with %q", got, c.says)
			}
		})
	}
}

// TestRun goes the way of `make generate` on a small document, packed.
func TestRun(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	out := filepath.Join(root, "proto", "meraki")
	document, err := os.ReadFile("testdata/grows/3.json")
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(document); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	spec := filepath.Join(root, "openapi.json.gz")
	if err := os.WriteFile(spec, packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	// The files by hand, which a section's files import.
	if err := os.CopyFS(filepath.Join(out, "api"), os.DirFS("../../proto/meraki/api")); err != nil {
		t.Fatal(err)
	}
	ok := func(args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if code := run(context.Background(), args, &stdout, &stderr); code != 0 {
			t.Fatalf("merakigen %v: exit code %d: %s%s", args, code, &stdout, &stderr)
		}
		return stdout.String()
	}
	ok("-spec", spec, "-out", out)
	ok("-spec", spec, "-out", out, "-check")
	before := tree(t, root)
	ok("-spec", spec, "-out", out)
	if after := tree(t, root); after != before {
		t.Error("a second run changes the files")
	}
	if text, err := os.ReadFile(filepath.Join(root, "proto", "SPEC")); err != nil || !strings.HasPrefix(string(text), "version 1.2.0\nsha256  ") {
		t.Errorf("SPEC is %q, %v", text, err)
	}

	changed := filepath.Join(out, "devices", "v1", "devices_service.proto")
	text, err := os.ReadFile(changed)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(changed, append(text, "// a line\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if code := run(context.Background(), []string{"-spec", spec, "-out", out, "-check"}, &stdout, &stderr); code != failed {
		t.Errorf("-check of a changed file: exit code %d", code)
	}
	if got, want := stdout.String(), "meraki/devices/v1/devices_service.proto: differs\n"; got != want {
		t.Errorf("-check says %q, want %q", got, want)
	}
	ok("-spec", spec, "-out", out)

	to := filepath.Join(root, "gen", "descriptors")
	ok("-out", out, "-descriptors", to)
	data, err := os.ReadFile(filepath.Join(to, "set.binpb"))
	if err != nil {
		t.Fatal(err)
	}
	set := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(data, set); err != nil {
		t.Fatal(err)
	}
	if _, err := protodesc.NewFiles(set); err != nil {
		t.Fatal(err)
	}
	c, err := contract.New(set)
	if err != nil {
		t.Fatal(err)
	}
	if c.Operation("rebootDevice").Operation.GetLimit().GetSeconds() != 60 {
		t.Error("rebootDevice has lost its limit on the way")
	}
	ok("-out", out, "-descriptors", to)
	if again, err := os.ReadFile(filepath.Join(to, "set.binpb")); err != nil || !bytes.Equal(again, data) {
		t.Errorf("a second set has other bytes, %v", err)
	}
}

// TestAnnotations: the other tools' rules say the same path, verb and body.
func TestAnnotations(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "api.binpb")
	var stdout, stderr bytes.Buffer
	if code := run(context.Background(), []string{"-out", "../../proto/meraki", "-annotations", file}, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	set := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(data, set); err != nil {
		t.Fatal(err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]*annotations.HttpRule{
		"meraki.networks.v1.NetworksService.GetNetwork": {
			Pattern: &annotations.HttpRule_Get{Get: "/api/v1/networks/{network_id}"},
		},
		"meraki.networks.v1.NetworksService.UpdateNetwork": {
			Pattern: &annotations.HttpRule_Put{Put: "/api/v1/networks/{network_id}"}, Body: "*",
		},
		"meraki.devices.v1.DevicesService.RebootDevice": {
			Pattern: &annotations.HttpRule_Post{Post: "/api/v1/devices/{serial}/reboot"},
		},
		"meraki.organizations.v1.OrganizationsService.GetOrganizationDevices": {
			Pattern:      &annotations.HttpRule_Get{Get: "/api/v1/organizations/{organization_id}/devices"},
			ResponseBody: "items",
		},
		"meraki.organizations.v1.OrganizationsService.StreamOrganizationDevices": nil,
	} {
		d, err := files.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil {
			t.Error(err)
			continue
		}
		got, _ := proto.GetExtension(d.Options(), annotations.E_Http).(*annotations.HttpRule)
		if !proto.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// tree is every file below root with its time, as one text.
func tree(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(p)
		b.WriteString(p + " " + info.ModTime().String() + "\n" + string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
