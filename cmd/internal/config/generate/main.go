// Generate writes what is made of the fields of the configuration, of their comments
// and tags: its JSON schema, the part of it in the chart's, the list of operations
// beside that, and docs/configuration.md. It also puts the alerts and the dashboard into
// the chart, since Helm reads no file outside of it.
//
//	go generate ./cmd/internal/config
package main

import (
	"bytes"
	_ "embed" // chart.json
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/merakibroker/merakibroker/cmd/internal/config"
)

// root is the repository, seen from where go generate runs this.
const root = "../../.."

// chart is the schema of the chart's values, but for its config.
//
//go:embed chart.json
var chart []byte

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run() error {
	if err := os.Chdir(root); err != nil {
		return err
	}
	files, err := outputs()
	if err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.FromSlash(name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// outputs are all files, by name below the repository's root, which has to be the
// working directory.
func outputs() (map[string][]byte, error) {
	names, err := knownNames()
	if err != nil {
		return nil, err
	}
	daemons, err := reflected(names)
	if err != nil {
		return nil, err
	}
	daemons.Version = draft
	charts, err := reflected(names)
	if err != nil {
		return nil, err
	}
	conditions(daemons)
	requireReplicas(daemons) // the chart fills them in
	conditions(charts)
	own, err := written(daemons)
	if err != nil {
		return nil, err
	}
	part, err := json.Marshal(charts)
	if err != nil {
		return nil, err
	}
	var values bytes.Buffer
	if err := json.Indent(&values, bytes.Replace(chart, []byte(`"config": {}`), append([]byte(`"config": `), part...), 1), "", "  "); err != nil {
		return nil, err
	}
	page, err := config.Page(own)
	if err != nil {
		return nil, err
	}
	alerts, err := os.ReadFile("deploy/alerts/merakibroker.yaml")
	if err != nil {
		return nil, err
	}
	dashboard, err := os.ReadFile("deploy/grafana/merakibroker.json")
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		"deploy/helm/merakibroker/alerts.yaml":        alerts,
		"deploy/helm/merakibroker/dashboard.json":     dashboard,
		"cmd/internal/config/schema.json":             own,
		"deploy/helm/merakibroker/values.schema.json": values.Bytes(),
		"deploy/helm/merakibroker/operations.txt":     names.operationList(),
		"docs/configuration.md":                       page,
	}, nil
}

// written is a schema as it stands in a file.
func written(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}
