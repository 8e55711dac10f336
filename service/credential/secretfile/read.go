package secretfile

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// maxBytes bounds what is read of one file. Bundles of certificates are the
// largest: a system's own is about 250 kB.
const maxBytes = 1 << 20

// errEmpty: an empty file is one that is being written, or a mistake.
var errEmpty = errors.New("is empty")

// read takes the contents of all files, or says which one cannot be used.
func (g *Group) read() (contents [][]byte, sum [sha256.Size]byte, err error) {
	for _, path := range g.Paths {
		c, err := readOne(path)
		switch {
		case errors.Is(err, errEmpty):
			return nil, sum, fmt.Errorf("%s: %w: put the %s there", path, err, g.Name)
		case err != nil:
			return nil, sum, fmt.Errorf("%s: %w", path, err)
		}
		contents = append(contents, c)
	}
	return contents, sumOf(contents), nil
}

// load hands the contents over. What is wrong with them is told with the file, where
// there is only one: whoever has several knows which.
func (g *Group) load(contents [][]byte) error {
	err := g.Load(contents)
	if err == nil || len(g.Paths) > 1 || strings.HasPrefix(err.Error(), g.Paths[0]) {
		return err
	}
	return fmt.Errorf("%s: %w", g.Paths[0], err)
}

func readOne(path string) ([]byte, error) {
	// Looked at before it is opened: opening a pipe would wait for a writer.
	info, err := os.Stat(path)
	if err != nil {
		return nil, bare(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, bare(err)
	}
	defer f.Close()
	contents, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	switch {
	case err != nil:
		return nil, bare(err)
	case len(contents) > maxBytes:
		return nil, fmt.Errorf("is larger than %d bytes", maxBytes)
	case len(bytes.TrimSpace(contents)) == 0:
		return nil, errEmpty
	}
	return contents, nil
}

// bare takes the path out of an error that is going to be told with it.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
