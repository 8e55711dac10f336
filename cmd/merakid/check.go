package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/merakibroker/merakibroker/cmd/internal/config"
	"github.com/merakibroker/merakibroker/service/credential/secretfile"
	"github.com/merakibroker/merakibroker/service/identity"
)

// storeTime is how long the store has to answer a check.
const storeTime = 2 * time.Second

// check goes as far as the daemon goes before it listens, and asks the store. Nothing
// is sent to the Dashboard.
func check(ctx context.Context, f *config.File, out io.Writer) error {
	d, err := build(ctx, f, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer d.close()
	if d.storeAnswers != nil {
		ctx, cancel := context.WithTimeout(ctx, storeTime)
		defer cancel()
		if err := f.Explain(d.storeAnswers(ctx)); err != nil {
			return err
		}
	}
	name := f.Name
	if name == "" {
		name = "no configuration file"
	}
	_, err = fmt.Fprintf(out, "%s: nothing is wrong\n", name)
	return err
}

// rereadRules has the rules read again when the file of the configuration changes.
// Wrong ones are not taken, nor is anything else of the file.
func rereadRules(f *config.File, policy *identity.Policy, files *secretfile.Watcher, log *slog.Logger) error {
	if f.Name == "" {
		return nil
	}
	started := false
	return files.Add(secretfile.Group{Name: "rules of the configuration", Paths: []string{f.Name}, Load: func(contents [][]byte) error {
		next, err := f.Again(contents[0])
		if err != nil {
			return inOneLine(err)
		}
		wrong := next.Check()
		if len(wrong) == 0 {
			wrong.Add("policy", policy.Replace(next.Policy))
		}
		if err := next.Explain(wrong); err != nil {
			return inOneLine(err)
		}
		if !started { // these are the rules that hold already
			started = true
			return nil
		}
		log.Info("the rules of the configuration hold from now on", "rules", len(next.Policy))
		if keys := f.Differences(next); len(keys) > 0 {
			log.Warn("the configuration has changed beyond its rules, which takes a new process", "keys", strings.Join(keys, ", "))
		}
		return nil
	}})
}

// inOneLine is an error for the log.
func inOneLine(err error) error {
	return fmt.Errorf("%s", strings.ReplaceAll(err.Error(), "\n", "; "))
}
