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
