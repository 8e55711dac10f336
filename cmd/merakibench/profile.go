package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// profile writes what the daemon's processor time goes into while it has as many
// small calls as it can take, as the Go compiler reads it: see the Makefile. It is
// no scenario's figure, and the daemon is slower meanwhile.
func (r *run) profile(ctx context.Context, c *contender, calls []prepared, file string) error {
	const length = 30 * time.Second
	r.progress.says("profiling the daemon for %v", length)
	got := make(chan error, 1)
	go func() {
		got <- fetch(ctx, fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", c.admin, int(length.Seconds())), file)
	}()
	t := new(tally)
	err := c.saturate(ctx, t, calls, underWay, length)
	if err := errors.Join(err, <-got); err != nil {
		return fmt.Errorf("the profile: %w", err)
	}
	return t.broken()
}

// fetch writes what is at an address into a file.
func fetch(ctx context.Context, url, file string) error {
	in, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	content, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o644)
}
