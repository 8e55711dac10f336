package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/cmd/internal/config"
	"github.com/merakibroker/merakibroker/service/credential/secretfile"
	"github.com/merakibroker/merakibroker/service/store"
	"github.com/merakibroker/merakibroker/service/store/storetest"
)

func TestStoreConfig(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ yaml, says string }{
		{`{}`, ""},
		{`{addresses: []}`, ""},
		{`{addresses: ["redis:6379"], replicas: 3}`, ""},
		{`{addresses: ["a:1", "b:1"], master: m, database: 2, sentinel_username: s, sentinel_password_file: p, tls: true, ca_file: f, username: u, password_file: p, replicas: 3}`, ""},
		{`{addresses: ["redis:6379"]}`, "store.replicas is 0: say how many"},
		{`{addresses: ["redis:6379"], replicas: 0}`, "store.replicas is 0"},
		{`{addresses: ["redis:6379"], replicas: -1}`, "store.replicas is -1"},
		{`{addresses: [""], replicas: 3}`, `store.address "" is not host:port`},
		{`{addresses: ["redis"], replicas: 3}`, `store.address "redis" is not host:port`},
		{`{addresses: ["redis:6379", ""], replicas: 3}`, `store.address "" is not host:port`},
		{`{addresses: ["redis:6379"], replicas: 3, database: -1}`, "store.database is -1"},
		{`{addresses: ["redis:6379"], cluster: true, database: 1, replicas: 3}`, "a cluster has only database 0"},
		{`{addresses: ["redis:6379"], cluster: true, master: m, replicas: 3}`, "store.master (Sentinel) and cluster exclude each other"},
		{`{addresses: ["redis:6379"], ca_file: f, replicas: 3}`, "set store.tls to true"},
		{`{addresses: ["redis:6379"], sentinel_password_file: f, replicas: 3}`, "set store.master"},
		{`{addresses: ["redis:6379"], master: m, sentinel_username: u, replicas: 3}`, "store.sentinel_username needs store.sentinel_password_file"},
		{`{addresses: ["redis:6379"], username: u, replicas: 3}`, "store.username needs store.password_file"},
		{`{replicas: 3}`, "store.addresses is missing, and replicas is set"},
		{`{master: m}`, "store.addresses is missing, and master is set"},
		{`{cluster: true}`, "cluster is set"}, {`{database: 1}`, "database is set"}, {`{username: u}`, "username is set"},
		{`{password_file: f}`, "password_file is set"}, {`{sentinel_username: f}`, "sentinel_username is set"},
		{`{sentinel_password_file: f}`, "sentinel_password_file is set"}, {`{tls: true}`, "tls is set"}, {`{ca_file: f}`, "ca_file is set"},
	} {
		file := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(file, []byte("store: "+row.yaml+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Read(file)
		if err == nil {
			err = c.Complete()
		}
		if row.says == "" && err != nil || row.says != "" && (err == nil || !strings.Contains(err.Error(), row.says)) {
			t.Errorf("store: %s: %v, want it to say %q", row.yaml, err, row.says)
		}
	}
}

// What the files hold reaches the store: its password, and that of the sentinels.
func TestStoreConnection(t *testing.T) {
	t.Parallel()
	server := storetest.Serve(t, "--requirepass", "of the server")
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	sentinel := storetest.Serve(t, write("sentinel.conf", fmt.Sprintf(
		"sentinel monitor budgets 127.0.0.1 %d 1\nsentinel auth-pass budgets \"of the server\"\nrequirepass \"of the sentinel\"\n", server.Port())), "--sentinel")
	files := secretfile.New(secretfile.Config{Log: slog.New(slog.DiscardHandler)})
	defer files.Close()
	s := config.Store{
		Addresses: []string{sentinel.Address()}, Master: "budgets", Database: 3, Replicas: 3,
		PasswordFile: write("password", "of the server\n"), SentinelPasswordFile: write("sentinel-password", "of the sentinel\n"),
	}
	connection, err := connect(&s, files)
	if err != nil {
		t.Fatal(err)
	}
	connection.Timeout = 30 * time.Second
	client, err := store.Connect(t.Context(), connection)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
	for _, broken := range []struct {
		change func(*config.Store)
		says   string
	}{
		{func(s *config.Store) { s.PasswordFile = write("empty", "\n") }, "password_file: "},
		{func(s *config.Store) { s.SentinelPasswordFile = filepath.Join(dir, "none") }, "sentinel_password_file: "},
		{func(s *config.Store) { s.TLS, s.CAFile = true, write("ca", "nothing") }, "ca_file: "},
	} {
		changed := s
		broken.change(&changed)
		if _, err := connect(&changed, files); err == nil || !strings.Contains(err.Error(), broken.says) {
			t.Errorf("%v, want it to say %q", err, broken.says)
		}
	}
}
