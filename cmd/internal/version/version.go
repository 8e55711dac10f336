// Package version says what a program was built from.
package version

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// A Build is what a program was built from.
type Build struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Go       string `json:"go"`
}

// Of reads what the linker and Go have put into the program. linked is the version that
// the build of the image sets: -ldflags "-X main.linkedVersion=1.2.3"; empty without.
func Of(linked string) Build {
	b := Build{Version: linked, Revision: "unknown", Go: "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Go = info.GoVersion
	if b.Version == "" {
		b.Version = strings.Trim(info.Main.Version, "()")
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.Revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			b.Revision += " with changes"
		}
	}
	return b
}

// String is one line, without the program's name.
func (b Build) String() string {
	return fmt.Sprintf("%s, revision %s, %s", b.Version, b.Revision, b.Go)
}
