package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// protos are the files without SPEC.
func protos(files map[string][]byte) map[string][]byte {
	out := maps.Clone(files)
	delete(out, "SPEC")
	return out
}

// differences prints one line for each file that would change.
func differences(have, made map[string][]byte, stdout io.Writer) error {
	n := 0
	say := func(path, what string) {
		n++
		fmt.Fprintf(stdout, "%s: %s\n", path, what)
	}
	for _, path := range slices.Sorted(maps.Keys(made)) {
		switch old, ok := have[path]; {
		case !ok:
			say(path, "missing")
		case !bytes.Equal(old, made[path]):
			say(path, "differs")
		}
	}
	for _, path := range slices.Sorted(maps.Keys(have)) {
		if _, ok := made[path]; !ok {
			say(path, "is not generated")
		}
	}
	if n > 0 {
		return fmt.Errorf("%d files are not what the document asks for: generate again", n)
	}
	return nil
}

// write puts the files below the parent of dir, and takes away generated ones
// that are no longer made. A file that is right already is not touched.
func write(dir string, have, made map[string][]byte) error {
	root := filepath.Dir(filepath.Clean(dir))
	base := filepath.Base(filepath.Clean(dir))
	if base != "meraki" {
		return fmt.Errorf("%s: the directory has to be called meraki, as the proto packages are", dir)
	}
	for _, path := range slices.Sorted(maps.Keys(made)) {
		if bytes.Equal(have[path], made[path]) {
			continue
		}
		if err := replace(filepath.Join(root, filepath.FromSlash(path)), made[path]); err != nil {
			return err
		}
	}
	for path := range have {
		if _, ok := made[path]; ok {
			continue
		}
		if err := os.Remove(filepath.Join(root, filepath.FromSlash(path))); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// replace writes a file beside the old one and moves it into place, so that a
// reader never finds half of it.
func replace(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
