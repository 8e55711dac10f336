package store

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// says is a server that answers every command with one text; without one it hangs up.
func says(t *testing.T, text string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
				sent := make([]byte, 1024)
				for n, err := conn.Read(sent); err == nil && text != ""; n, err = conn.Read(sent) {
					_, _ = io.WriteString(conn, strings.Repeat(text, bytes.Count(sent[:n], []byte("*"))))
				}
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); running.Wait() })
	return l.Addr().String()
}

// TestWhatIsWrongWithTheStoreIsSaid: which store, what is wrong, and what to do, for what
// servers of all ages and kinds answer to a client that is set up wrongly.
func TestWhatIsWrongWithTheStoreIsSaid(t *testing.T) {
	t.Parallel()
	for reply, want := range map[string]string{
		"-WRONGPASS invalid username-password pair or user is disabled.\r\n": "refuses the user name or the password: check store.username and store.password_file",
		"-ERR invalid password\r\n":            "check store.password_file",
		"-NOAUTH Authentication required.\r\n": "asks for a password: set store.password_file",
		"-ERR AUTH <password> called without any password configured for the default user. Are you sure\r\n": "remove store.password_file",
		"-ERR Client sent AUTH, but no password is set\r\n":                                                  "remove store.password_file",
		"-ERR wrong number of arguments for 'auth' command\r\n":                                              "remove store.username",
		"-NOPERM User broker has no permissions to run the 'evalsha' command\r\n":                            "needs all commands on the keys below store.prefix",
		"-ERR unknown command 'EVALSHA', with args beginning with:\r\n":                                      "has to be a Redis or Valkey server that runs scripts",
		"-ERR DB index is out of range\r\n":                                                                  "check store.database",
		"-ERR SELECT is not allowed in cluster mode\r\n":                                                     "remove store.database",
		"-MOVED 3999 127.0.0.1:6381\r\n":                                                                     "say store.cluster: true",
		"-CLUSTERDOWN The cluster is down\r\n":                                                               "look at the cluster's own log",
		"-READONLY You can't write against a read only replica.\r\n":                                         "name the master in store.addresses",
		"-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist\r\n":       "cannot write to its disk",
		"-LOADING Redis is loading the dataset in memory\r\n":                                                "still reading its data",
		"-ERR max number of clients reached\r\n":                                                             "raise its maxclients",
		"-OOM command not allowed when used memory > 'maxmemory'.\r\n":                                       "raise its maxmemory",
		"HTTP/1.1 400 Bad Request\r\n\r\n<html>":                                                             "answers as no Redis does: check store.addresses",
		"":                                                                                                   "say store.tls: true",
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			at := says(t, reply)
			err := connect(t, Config{Addresses: []string{at}}).Get(t.Context(), "k").Err()
			if err == nil || !strings.HasPrefix(err.Error(), "the store at "+at+" ") || !strings.Contains(err.Error(), want) {
				t.Errorf("%q is told as\n%v, want it to begin with the address and to say\n%s", reply, err, want)
			}
			if err != nil && strings.Contains(err.Error(), "<html>") {
				t.Errorf("the page itself is told: %v", err)
			}
		})
	}
}
