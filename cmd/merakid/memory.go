package main

import (
	"io/fs"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// memoryShare of the cgroup's limit is what Go may use: the rest is for stacks
// of the kernel's buffers and for what the runtime does not count.
const memoryShare = 0.9

// gcPercent is how much may be allocated before Go collects, of what is in use:
// twice as much as Go's own, because little is in use. It takes a tenth off the
// processor time of a call, for about 15 MB.
const gcPercent = 200

// tuneCollector sets gcPercent, unless GOGC says something.
func tuneCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// limitMemory sets Go's soft limit from the cgroup, as GOMEMLIMIT would. Go
// reads the cgroup's CPU limit by itself, but not this one. It gives the limit
// set; 0 where there is none, or where GOMEMLIMIT says something already.
func limitMemory() int64 {
	if os.Getenv("GOMEMLIMIT") != "" {
		return 0
	}
	limit := cgroupLimit(os.DirFS("/"))
	if limit > 0 {
		debug.SetMemoryLimit(limit)
	}
	return limit
}

// cgroupLimit is the least of the limits of our cgroup and those around it: in a
// container usually one at the root, on a plain machine a path of them.
func cgroupLimit(root fs.FS) int64 {
	files := []string{"sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"}
	membership, _ := fs.ReadFile(root, "proc/self/cgroup")
	for line := range strings.Lines(string(membership)) {
		// "0::/path" of version 2, "5:memory:/path" of version 1.
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, at, _ := strings.Cut(rest, ":")
		base, name := "sys/fs/cgroup", "memory.max"
		if controllers == "memory" {
			base, name = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		} else if controllers != "" {
			continue
		}
		for at = path.Clean("/" + at); at != "/"; at = path.Dir(at) {
			files = append(files, path.Join(base, at, name))
		}
	}
	var least int64
	for _, file := range files {
		text, err := fs.ReadFile(root, file)
		if err != nil {
			continue
		}
		if limit := memoryLimit(string(text)); limit > 0 && (least == 0 || limit < least) {
			least = limit
		}
	}
	return least
}

// memoryLimit reads a cgroup's figure; 0 for none ("max", or the huge number of
// cgroup v1).
func memoryLimit(text string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64/2 {
		return 0
	}
	return int64(float64(n) * memoryShare)
}
