package store

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// remedies are what the store says to a client that is set up wrongly, and what an
// operator does about it.
var remedies = []struct{ begins, means string }{
	{"WRONGPASS", "the store refuses the user name or the password: check store.username and store.password_file"},
	{"NOAUTH", "the store asks for a password: set store.password_file"},
	{"NOPERM", "the store's user may not do this: it needs all commands on the keys below store.prefix"},
	{"ERR DB index", "the store does not have that database: check store.database"},
	{"ERR SELECT is not allowed", "the store is a cluster, which has only database 0: remove store.database"},
}

// plain adds what to do to an error that an operator can mend.
func plain(err error) error {
	if err == nil {
		return nil
	}
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case errors.As(err, &authority):
		return fmt.Errorf("the store's certificate comes from an authority that is not trusted: set store.ca_file: %w", err)
	case errors.As(err, &name):
		return fmt.Errorf("the store's certificate is for another name: use one of its names in store.addresses: %w", err)
	}
	var reply goredis.Error
	if !errors.As(err, &reply) {
		return err
	}
	for _, r := range remedies {
		if strings.HasPrefix(reply.Error(), r.begins) {
			return fmt.Errorf("%s: %w", r.means, err)
		}
	}
	return err
}

// plainHook makes the errors of all commands plain.
type plainHook struct{}

func (plainHook) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (plainHook) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		err := next(ctx, cmd)
		if p := plain(err); p != err {
			cmd.SetErr(p)
			return p
		}
		return err
	}
}

func (plainHook) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error { return plain(next(ctx, cmds)) }
}
