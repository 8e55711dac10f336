package secretfile

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// maxBytes bounds what is read of one file. Bundles of certificates are the
// largest: a system's own is about 250 kB.
const maxBytes = 1 << 20

// read takes the contents of all files, or says which one cannot be used.
func read(paths []string) (contents [][]byte, sum [sha256.Size]byte, err error) {
	for _, path := range paths {
		c, err := readOne(path)
		if err != nil {
			return nil, sum, fmt.Errorf("%s: %w", path, err)
		}
		contents = append(contents, c)
	}
	return contents, sumOf(contents), nil
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
