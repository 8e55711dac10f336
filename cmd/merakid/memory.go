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

// maxConnections bounds what callers open, on all ports together. Each costs some 40 KiB.
const maxConnections = 10_000

// connectionLimit is how many connections callers may open: all that descriptors
// suffice for, less a reserve for the Dashboard, the store, the operator's port and
// files, which must not wait for callers to leave.
func connectionLimit(descriptors int) int {
	if descriptors <= 0 {
		return maxConnections
	}
	reserve := min(max(descriptors/4, 32), 1024)
	return min(max(descriptors-reserve, 1), maxConnections)
}

// descriptorLimit is how many files the process may open; 0 where nothing says so. Go
// has raised the soft limit to the hard one by now.
func descriptorLimit(root fs.FS) int {
	limits, _ := fs.ReadFile(root, "proc/self/limits")
	for line := range strings.Lines(string(limits)) {
		if rest, ok := strings.CutPrefix(line, "Max open files"); ok {
			if fields := strings.Fields(rest); len(fields) > 0 {
				n, _ := strconv.Atoi(fields[0]) // "unlimited" is 0
				return n
			}
		}
	}
	return 0
}
