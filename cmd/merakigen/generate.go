package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/lock"
	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/model"
	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/openapi"
)

// most is the size of the largest document that is read, unpacked. The vendor's
// is 8 MB.
const most = 256 << 20

// An output is what one run makes: the files below the parent of the output
// directory, and what is worth saying about them.
type output struct {
	files    map[string][]byte
	warnings []string
}

// generate turns a document into proto files, given the ones that lie there
// already. It compiles what it made before it gives it back.
func generate(ctx context.Context, document []byte, lying map[string][]byte) (*output, error) {
	d, err := openapi.Parse(document)
	if err != nil {
		return nil, err
	}
	overrides, err := model.Known()
	if err != nil {
		return nil, err
	}
	locked, err := lock.Read(ctx, lying)
	if err != nil {
		return nil, err
	}
	contract, err := model.Build(d, overrides, locked)
	if err != nil {
		return nil, err
	}
	files, warnings := lock.Settle(contract, locked)
	out := &output{files: make(map[string][]byte), warnings: append(contract.Warnings, warnings...)}
	for _, f := range files {
		out.files[f.Path] = f.Bytes()
	}
	after, err := lock.Compile(ctx, out.files)
	if err != nil {
		return nil, fmt.Errorf("the generator is wrong: what it made does not compile: %w", err)
	}
	before, err := lock.Compile(ctx, lying)
	if err != nil {
		return nil, err
	}
	if lines := lock.Broken(before, after); len(lines) > 0 {
		return nil, fmt.Errorf("the generator is wrong: what it made breaks the lock: %s", strings.Join(lines, "; "))
	}
	out.files["SPEC"] = fmt.Appendf(nil, "version %s\nsha256  %x\n", d.Version, sha256.Sum256(document))
	return out, nil
}

// readDocument reads a document, plain or packed with gzip.
func readDocument(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		return data, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	plain, err := io.ReadAll(io.LimitReader(z, most+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(plain) > most {
		return nil, fmt.Errorf("%s: larger than %d MiB unpacked", path, most>>20)
	}
	return plain, nil
}

// lying reads the generated files that lie in dir, and SPEC beside it.
func lying(dir string) (map[string][]byte, error) {
	files, err := lock.Sources(dir)
	if err != nil {
		return nil, err
	}
	spec, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Clean(dir)), "SPEC"))
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		files["SPEC"] = spec
	}
	return files, nil
}
