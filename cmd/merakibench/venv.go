package main

import (
	"context"
	_ "embed" // for the programs
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed python/library.py
var libraryProgram string

//go:embed python/client.py
var clientProgram string

// A venv is a Python of the bench's own, with the vendor's library, gRPC, and
// clients generated from the protos.
type venv struct {
	python string
	// stubs is where the generated clients lie.
	stubs string
	dir   string
	// versions are what was installed: "meraki 4.7.0".
	versions string
}

// venv makes one. It asks PyPI, or whatever pip is told to ask.
func (r *run) venv(ctx context.Context) (*venv, error) {
	base, err := exec.LookPath("python3")
	if err != nil {
		return nil, errors.New("python3 is not there: install it with its venv module (Debian: apt-get install python3-venv)")
	}
	dir, err := r.bench.directory()
	if err != nil {
		return nil, err
	}
	v := &venv{dir: filepath.Join(dir, "python")}
	v.python, v.stubs = filepath.Join(v.dir, "bin", "python"), filepath.Join(v.dir, "stubs")
	module, err := output(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/merakibroker/merakibroker")
	if err != nil {
		return nil, fmt.Errorf("where the module lies (run this from within it): %w", err)
	}
	r.progress.says("installing the Python library and gRPC")
	for _, step := range [][]string{
		{base, "-m", "venv", v.dir},
		{v.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "meraki", "grpcio", "grpcio-tools"},
	} {
		if _, err := output(ctx, step[0], step[1:]...); err != nil {
			return nil, fmt.Errorf("a Python with meraki and grpcio: %w", err)
		}
	}
	r.progress.says("generating the Python client")
	if err := v.generate(ctx, filepath.Join(module, "proto")); err != nil {
		return nil, fmt.Errorf("a Python client: %w", err)
	}
	for name, text := range map[string]string{"library.py": libraryProgram, "client.py": clientProgram} {
		if err := os.WriteFile(filepath.Join(v.dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	v.versions, err = output(ctx, v.python, "-c",
		"from importlib.metadata import version as v\nimport platform\nprint('Python '+platform.python_version()+', '+', '.join(p+' '+v(p) for p in ('meraki','grpcio')))")
	return v, err
}

// generate makes the clients of the section that is asked, and of what it imports.
// The vendor's library and our protos have the same first name, so the generated
// directories are made packages, which go before it where they come first.
func (v *venv) generate(ctx context.Context, protos string) error {
	files, err := filepath.Glob(filepath.Join(protos, "meraki", "organizations", "v1", "*.proto"))
	if err != nil {
		return err
	}
	more, err := filepath.Glob(filepath.Join(protos, "meraki", "api", "v1", "*.proto"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(v.stubs, 0o755); err != nil {
		return err
	}
	args := append([]string{"-m", "grpc_tools.protoc", "-I" + protos, "--python_out=" + v.stubs, "--grpc_python_out=" + v.stubs}, append(files, more...)...)
	if _, err := output(ctx, v.python, args...); err != nil {
		return err
	}
	return filepath.WalkDir(v.stubs, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || name == v.stubs {
			return err
		}
		return os.WriteFile(filepath.Join(name, "__init__.py"), nil, 0o644)
	})
}

// output runs a program and gives what it printed; of an error its last words.
func output(ctx context.Context, program string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, lastLines(string(out), 2))
	}
	return strings.TrimSpace(string(out)), nil
}
