package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A usage is what a process has taken of the machine.
type usage struct {
	cpu      time.Duration // user and system, since it began
	resident float64       // bytes now
	peak     float64       // bytes at the most
}

// tick is the unit of /proc/PID/stat: Linux says 100 a second to programs, whatever
// the kernel uses itself.
const tick = 10 * time.Millisecond

// usage reads what the kernel says of a child.
func (c *child) usage() (usage, error) {
	dir := filepath.Join("/proc", strconv.Itoa(c.cmd.Process.Pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return usage{}, fmt.Errorf("what %s takes of the machine (Linux only): %w", c.name, err)
	}
	// The name in brackets may hold anything; after it the state, and the eleventh
	// and twelfth of what follows are user and system time (man 5 proc).
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 13 {
		return usage{}, fmt.Errorf("the stat file of %s has %d fields", c.name, len(fields))
	}
	var u usage
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return usage{}, err
		}
		u.cpu += time.Duration(n) * tick
	}
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return usage{}, err
	}
	for line := range strings.Lines(string(status)) {
		for name, to := range map[string]*float64{"VmRSS:": &u.resident, "VmHWM:": &u.peak} {
			if rest, ok := strings.CutPrefix(line, name); ok {
				kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
				if err != nil {
					return usage{}, err
				}
				*to = kib * 1024
			}
		}
	}
	return u, nil
}
