package deploy_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestImage: what the image is built of is named by its digest, it says which version of
// what it is, and it does not run as root.
func TestImage(t *testing.T) {
	text, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	file := string(text)
	pinned := regexp.MustCompile(`(?m)^ARG (\w+)=\S+@sha256:[0-9a-f]{64}$`)
	bases := map[string]bool{"scratch": true}
	for _, m := range pinned.FindAllStringSubmatch(file, -1) {
		bases["${"+m[1]+"}"] = true
	}
	stages := regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(file, -1)
	for _, m := range stages {
		if !bases[m[1]] {
			t.Errorf("FROM %s has no digest", m[1])
		}
	}
	_, last, _ := strings.Cut(file, "\nFROM scratch\n")
	for _, part := range []string{
		`org.opencontainers.image.title="`, `org.opencontainers.image.source="https://`, `org.opencontainers.image.version="${VERSION}"`,
		`org.opencontainers.image.revision="${REVISION}"`, "USER 65532:65532", "ARG VERSION", "ARG REVISION",
	} {
		if !strings.Contains(last, part) {
			t.Errorf("the image lacks %s", part)
		}
	}
	if len(stages) != 2 || !regexp.MustCompile(`-X \S+=\$\{VERSION\}`).MatchString(file) {
		t.Errorf("%d stages, or a program that does not know its version", len(stages))
	}
}
