package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// remedies are what the store says to a client that is set up wrongly, and what an
// operator does about it. %s is where the store is.
var remedies = []struct{ begins, means string }{
	{"WRONGPASS", "%s refuses the user name or the password: check store.username and store.password_file"},
	{"ERR invalid password", "%s refuses the password: check store.password_file"},
	{"NOAUTH", "%s asks for a password: set store.password_file"},
	{"ERR AUTH", "%s has no password, and is given one: remove store.password_file, or give the server a password"},
	{"ERR Client sent AUTH", "%s has no password, and is given one: remove store.password_file, or give the server a password"},
	{"ERR wrong number of arguments for 'auth'", "%s is older than users with names: remove store.username"},
	{"NOPERM", "%s does not let its user do this: it needs all commands on the keys below store.prefix"},
	{"ERR unknown command", "%s does not know a command that is needed: it has to be a Redis or Valkey server that runs scripts"},
	{"ERR DB index", "%s does not have that database: check store.database"},
	{"ERR invalid DB index", "%s does not have that database: check store.database"},
	{"ERR SELECT is not allowed", "%s is a cluster, which has only database 0: remove store.database"},
	{"MOVED", "%s is a cluster: say store.cluster: true"},
	{"CLUSTERDOWN", "%s is a cluster without all of its parts: look at the cluster's own log"},
	{"READONLY", "%s is a replica, which takes no writes: name the master in store.addresses, or sentinels and store.master"},
	{"MISCONF", "%s cannot write to its disk, and takes no writes: look at the server's own log"},
	{"LOADING", "%s has started and is still reading its data"},
	{"ERR max number of clients", "%s has no room for another connection: raise its maxclients"},
	{"OOM", "%s is full: raise its maxmemory"},
}

// sentinel is said in place of remedies that are about the password of a server.
const sentinel = "%s, a sentinel, does not take the connection: check store.sentinel_username and store.sentinel_password_file"

// plain adds what to do to an error that an operator can mend. at is where the store
// is, for people.
func plain(at string, err error) error {
	if err == nil {
		return nil
	}
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var record tls.RecordHeaderError
	var connection *net.OpError
	var reply goredis.Error
	switch {
	case errors.As(err, &authority):
		return fmt.Errorf("the certificate of %s comes from an authority that is not trusted: set store.ca_file: %w", at, err)
	case errors.As(err, &name):
		return fmt.Errorf("the certificate of %s is for another name: use one of its names in store.addresses: %w", at, err)
	case errors.As(err, &record):
		return fmt.Errorf("%s does not speak TLS: say store.tls: false, or name the port that does: %w", at, err)
	case strings.HasPrefix(err.Error(), "redis: invalid reply"), strings.HasPrefix(err.Error(), "redis: can't parse"):
		// The library's text quotes what came, which may be of any kind.
		return fmt.Errorf("%s answers as no Redis does: check store.addresses", at)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%s closed the connection; where it does so every time it may ask for TLS: say store.tls: true: %w", at, err)
	case errors.As(err, &connection) && connection.Op == "dial":
		return fmt.Errorf("%s is out of reach: check store.addresses, and that the broker may go there: %w", at, err)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &connection) && connection.Timeout():
		return fmt.Errorf("%s does not answer in time; where it never does, check store.addresses and store.tls: %w", at, err)
	case !errors.As(err, &reply):
		return err
	}
	text := reply.Error()
	for _, r := range remedies {
		if !strings.HasPrefix(text, r.begins) {
			continue
		}
		means := r.means
		if strings.Contains(err.Error(), "all sentinels specified") {
			means = sentinel
		}
		return fmt.Errorf(means+": %w", at, err)
	}
	return err
}

// what is where the store is, for people.
func (c *Config) what() string {
	at := strings.Join(c.Addresses, ", ")
	if c.Master != "" {
		return fmt.Sprintf("the store %s (sentinels %s)", c.Master, at)
	}
	return "the store at " + at
}

// plainHook makes the errors of all commands plain.
type plainHook struct{ at string }

func (plainHook) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (h plainHook) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		err := next(ctx, cmd)
		if p := plain(h.at, err); p != err {
			cmd.SetErr(p)
			return p
		}
		return err
	}
}

func (h plainHook) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error { return plain(h.at, next(ctx, cmds)) }
}
