package config

import (
	"errors"
	"fmt"

	"github.com/merakibroker/merakibroker/service/store"
)

// Store is the shared store that several replicas need. Without addresses the
// replica is alone.
type Store struct {
	// Addresses of a Redis or Valkey, as host:port: one; several for a cluster, or
	// for Sentinel together with Master.
	Addresses []string `yaml:"addresses"`
	// Master is the name that Sentinel knows the master by.
	Master string `yaml:"master"`
	// Cluster says that the addresses are nodes of a cluster.
	Cluster bool `yaml:"cluster"`
	// Database to use. Default 0; a cluster has no other.
	Database int    `yaml:"database"`
	Username string `yaml:"username"`
	// PasswordFile holds the password, and is read again when it changes.
	PasswordFile string `yaml:"password_file"`
	// SentinelUsername and SentinelPasswordFile are those of the sentinels, where
	// they ask for a password; read at start.
	SentinelUsername     string `yaml:"sentinel_username"`
	SentinelPasswordFile string `yaml:"sentinel_password_file"`
	// TLS talks to the store, and to sentinels, encrypted.
	TLS bool `yaml:"tls"`
	// CAFile holds the authorities, in PEM, that vouch for the store's certificate.
	// Default: the system's. It is read again when it changes.
	CAFile string `yaml:"ca_file"`
	// Prefix of the keys. Default merakibroker.
	Prefix string `yaml:"prefix"`
	// Replicas is how many there are at the most, those that a roll-out adds with
	// them. Needed with addresses: while the store is gone, each goes on with that
	// part of the rate.
	Replicas int `yaml:"replicas"`
}

// Connection is where the store is.
func (s *Store) Connection() store.Config {
	return store.Config{Addresses: s.Addresses, Master: s.Master, Cluster: s.Cluster, Database: s.Database}
}

// check says what cannot be, beginning with the key.
func (s *Store) check() error {
	if len(s.Addresses) == 0 {
		for _, key := range []struct {
			name string
			set  bool
		}{
			{"master", s.Master != ""}, {"cluster", s.Cluster}, {"database", s.Database != 0}, {"username", s.Username != ""},
			{"password_file", s.PasswordFile != ""}, {"sentinel_username", s.SentinelUsername != ""},
			{"sentinel_password_file", s.SentinelPasswordFile != ""}, {"tls", s.TLS}, {"ca_file", s.CAFile != ""}, {"replicas", s.Replicas != 0},
		} {
			if key.set {
				return fmt.Errorf("addresses is missing, and %s is set: without addresses this replica shares its budgets with nobody", key.name)
			}
		}
		return nil
	}
	connection := s.Connection()
	if err := connection.Check(); err != nil {
		return err
	}
	switch {
	case s.Replicas < 1:
		return fmt.Errorf("replicas is %d: say how many there may be at once, at least 1; while the store is gone each goes on with that part of every budget", s.Replicas)
	case s.CAFile != "" && !s.TLS:
		return errors.New("ca_file is for a store with TLS: set store.tls to true")
	case s.SentinelPasswordFile != "" && s.Master == "":
		return errors.New("sentinel_password_file is for sentinels: set store.master to the name of the server that they look after")
	case s.SentinelUsername != "" && s.SentinelPasswordFile == "":
		return errors.New("sentinel_username needs store.sentinel_password_file")
	case s.Username != "" && s.PasswordFile == "":
		return errors.New("username needs store.password_file")
	}
	return nil
}
