package audit

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// A Destination takes lines. Ready says whether it can.
type Destination interface {
	io.WriteCloser
	Ready() error
}

// Stream is a destination that somebody else keeps: standard output.
type Stream struct{ io.Writer }

// Ready is always so.
func (Stream) Ready() error { return nil }

// Close leaves the stream open.
func (Stream) Close() error { return nil }

// A File is a destination by name. It is opened anew when another file, or none, has
// taken its place: rotation is a rename, and nothing has to be told.
type File struct {
	name string
	file *os.File
	info os.FileInfo
	torn bool // the last line is not whole, and the rest of it belongs into the same file
}

// NewFile makes a destination of a file, which is opened when it is needed.
func NewFile(name string) *File { return &File{name: name} }

// Ready opens the file, or the one that has taken its place.
func (f *File) Ready() error {
	if f.file != nil {
		there, err := os.Stat(f.name)
		if f.torn || err == nil && os.SameFile(there, f.info) {
			return nil
		}
		_ = f.Close() // nothing of it is buffered
	}
	file, err := os.OpenFile(f.name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	f.file, f.info = file, info
	return nil
}

// Write appends to the file.
func (f *File) Write(p []byte) (int, error) {
	if err := f.Ready(); err != nil {
		return 0, err
	}
	n, err := f.file.Write(p)
	f.torn = n > 0 && p[n-1] != '\n' || n == 0 && f.torn
	return n, err
}

// Close closes the file.
func (f *File) Close() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file, f.info, f.torn = nil, nil, false
	return err
}

const (
	// mostWaiting bounds the lines that wait to be written, in bytes: some ten thousand.
	mostWaiting = 4 << 20
	// retryEvery is how often it is tried again to write them.
	retryEvery = time.Second
)

// A backlog keeps lines that cannot be written at the moment, in their order. The holder
// of the Log's lock touches it.
type backlog struct {
	to      Destination
	log     *slog.Logger
	waiting []byte
	lost    uint64
	failure error     // of the latest try; nil when nothing waits
	tried   time.Time // when that was
	retry   *time.Timer
	closed  bool
}

// Write takes one line.
func (b *backlog) Write(line []byte) (int, error) {
	if len(b.waiting)+len(line) > mostWaiting {
		if b.lost++; b.lost == 1 {
			b.log.Error("lines of the log of writes are lost from here on; their numbers are missing there")
		}
		return len(line), b.flush()
	}
	b.waiting = append(b.waiting, line...)
	return len(line), b.flush()
}

// flush writes what waits, unless that has failed just now.
func (b *backlog) flush() error {
	if len(b.waiting) == 0 || b.failure != nil && time.Since(b.tried) < retryEvery {
		return b.failure
	}
	return b.write()
}

// write writes what waits.
func (b *backlog) write() error {
	if len(b.waiting) == 0 {
		return nil
	}
	n, err := b.to.Write(b.waiting)
	if n > 0 {
		b.waiting = b.waiting[:copy(b.waiting, b.waiting[n:])]
	}
	switch {
	case err == nil && b.failure != nil:
		b.log.Info("the log of writes is written again", "lost", b.lost)
	case err != nil && b.failure == nil:
		b.log.Error("the log of writes cannot be written; its lines wait in memory, up to 4 MiB", "error", err)
	}
	b.failure, b.tried = err, time.Now()
	if err == nil && cap(b.waiting) > mostIdle {
		b.waiting = nil
	}
	return err
}

// mostIdle is the memory that is kept for the next line.
const mostIdle = 64 << 10

// again sees to it that what waits is tried again, also when no further line comes.
func (b *backlog) again(mu *sync.Mutex) {
	if len(b.waiting) == 0 || b.retry != nil || b.closed {
		return
	}
	b.retry = time.AfterFunc(retryEvery, func() {
		mu.Lock()
		defer mu.Unlock()
		if b.closed { // while this waited for its turn
			return
		}
		b.retry = nil
		_ = b.write() // it has been told
		b.again(mu)
	})
}

// close writes what waits, and says what could not be.
func (b *backlog) close() error {
	b.closed = true
	if b.retry != nil {
		b.retry.Stop()
		b.retry = nil
	}
	err := b.write()
	if err != nil {
		b.log.Error("lines of the log of writes were not written", "bytes", len(b.waiting), "error", err)
	}
	if closing := b.to.Close(); err == nil {
		err = closing
	}
	return err
}
