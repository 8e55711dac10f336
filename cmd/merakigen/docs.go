package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/lock"
	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/model"
)

// writeDocs writes what is counted of the protos into the pages of docs, between
// the marks that name it.
func writeDocs(ctx context.Context, dir, docs string) error {
	pages, err := docPages(ctx, dir, docs)
	if err != nil {
		return err
	}
	for page, text := range pages {
		if err := replace(page, text); err != nil {
			return err
		}
	}
	return nil
}

// docPages are the pages as they ought to be, by their paths.
func docPages(ctx context.Context, dir, docs string) (map[string][]byte, error) {
	sources, err := lying(dir)
	if err != nil {
		return nil, err
	}
	version, ok := bytes.CutPrefix(bytes.SplitN(sources["SPEC"], []byte("\n"), 2)[0], []byte("version "))
	if !ok {
		return nil, fmt.Errorf("%s: SPEC names no version", dir)
	}
	files, err := lock.Compile(ctx, protos(sources))
	if err != nil {
		return nil, err
	}
	pages := make(map[string][]byte)
	for _, block := range []struct{ page, name, text string }{
		{"contract.md", "figures", count(files).table(string(version))},
		{"stubs.md", "names", nameTable(files)},
	} {
		page := filepath.Join(docs, block.page)
		text, err := os.ReadFile(page)
		if err != nil {
			return nil, err
		}
		if pages[page], err = between(text, block.name, block.text); err != nil {
			return nil, fmt.Errorf("%s: %w", page, err)
		}
	}
	return pages, nil
}

// between puts a text between the marks of a name.
func between(page []byte, name, text string) ([]byte, error) {
	begin, end := "<!-- merakigen: "+name+" -->\n", "<!-- /merakigen: "+name+" -->\n"
	before, rest, ok := strings.Cut(string(page), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return nil, fmt.Errorf("it lacks the line %q or the line %q behind it", strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return []byte(before + begin + text + end + after), nil
}

// figures are what there is of each thing in the contract's sections.
type figures struct {
	files, rpcs, pages, jobs, messages, top, fields int
	// shared are the messages that several operations answer with, or have as rows.
	shared int
}

func count(all *protoregistry.Files) figures {
	var f figures
	users := make(map[protoreflect.FullName]int)
	eachSection(all, func(file protoreflect.FileDescriptor) {
		f.files++
		f.top += file.Messages().Len()
		eachMessage(file.Messages(), func(m protoreflect.MessageDescriptor) {
			f.messages++
			f.fields += m.Fields().Len()
		})
		for i := range file.Services().Len() {
			f.service(file.Services().Get(i), users)
		}
	})
	for _, n := range users {
		if n > 1 {
			f.shared++
		}
	}
	return f
}

func (f *figures) service(s protoreflect.ServiceDescriptor, users map[protoreflect.FullName]int) {
	for i := range s.Methods().Len() {
		m := s.Methods().Get(i)
		option := proto.GetExtension(m.Options(), apiv1.E_Operation).(*apiv1.Operation)
		switch {
		case m.IsStreamingServer() && option.GetPaging() != nil:
			f.pages++
			continue
		case m.IsStreamingServer():
			f.jobs++
			continue
		}
		f.rpcs++
		users[m.Output().FullName()]++
		rows := m.Output().Fields().ByNumber(model.ItemsNumber)
		if rows != nil && rows.Message() != nil && rows.Message().Parent() == rows.Message().ParentFile() && !strings.HasPrefix(string(rows.Message().FullName()), "google.") {
			users[rows.Message().FullName()]++
		}
	}
}

func (f figures) table(version string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| of document %s | |\n|---|---|\n", version)
	for _, row := range []struct {
		what string
		n    int
	}{
		{"operations, each a unary RPC", f.rpcs},
		{"streaming twins, one for each paginated operation", f.pages},
		{"twins that run a job, one for each operation that starts something whose state is read", f.jobs},
		{"messages", f.messages},
		{"of them at the top level", f.top},
		{"fields", f.fields},
		{"messages that several operations of one resource share (GET, PUT, POST, and the rows of its list)", f.shared},
		{"proto files", f.files},
	} {
		fmt.Fprintf(&b, "| %s | %s |\n", row.what, thousands(row.n))
	}
	return b.String()
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// eachSection visits the files of the document's sections.
func eachSection(all *protoregistry.Files, visit func(protoreflect.FileDescriptor)) {
	all.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		if p := string(f.Package()); strings.HasPrefix(p, "meraki.") && p != "meraki.api.v1" && p != "meraki.broker.v1" {
			visit(f)
		}
		return true
	})
}

// eachMessage visits messages and those inside of them, but no entries of maps.
func eachMessage(all protoreflect.MessageDescriptors, visit func(protoreflect.MessageDescriptor)) {
	for i := range all.Len() {
		if m := all.Get(i); !m.IsMapEntry() {
			visit(m)
			eachMessage(m.Messages(), visit)
		}
	}
}
