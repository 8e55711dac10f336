package config

import (
	"time"

	"github.com/merakibroker/merakibroker/service/store"
)

// Store is the shared store that several replicas need. Without Addresses the
// replica is alone.
type Store struct {
	// Addresses of a Redis or Valkey, as host:port: one; several for a cluster, or
	// for Sentinel together with Master.
	Addresses []string `yaml:"addresses" jsonschema:"minItems=1,pattern=^[^/ ]+:[0-9]+$"`
	// Master is the name that Sentinel knows the master by.
	Master string `yaml:"master" jsonschema:"minLength=1"`
	// Cluster says that the addresses are nodes of a cluster.
	Cluster bool `yaml:"cluster"`
	// Database to use. Default 0; a cluster has no other.
	Database int `yaml:"database" jsonschema:"minimum=0"`
	// Username to log in with, together with PasswordFile; a server with a password
	// alone needs none.
	Username string `yaml:"username" jsonschema:"minLength=1"`
	// PasswordFile holds the password, and is read again when it changes.
	PasswordFile string `yaml:"password_file" jsonschema:"minLength=1"`
	// SentinelUsername to log in to the sentinels with, where they ask for one.
	SentinelUsername string `yaml:"sentinel_username" jsonschema:"minLength=1"`
	// SentinelPasswordFile holds the sentinels' password; read at start.
	SentinelPasswordFile string `yaml:"sentinel_password_file" jsonschema:"minLength=1"`
	// TLS talks to the store, and to sentinels, encrypted.
	TLS bool `yaml:"tls"`
	// CAFile holds the authorities, in PEM, that vouch for the store's certificate.
	// Default: the system's. It is read again when it changes.
	CAFile string `yaml:"ca_file" jsonschema:"minLength=1"`
	// Prefix of the keys. Default merakibroker.
	Prefix string `yaml:"prefix" jsonschema:"minLength=1"`
	// KeysFile holds the keys that encrypt the outcomes of writes in the store, one on a
	// line, each 32 bytes in base64: openssl rand -base64 32. The first encrypts, all
	// decrypt. It is the same at all replicas, and is read again when it changes. Without
	// it the store has outcomes without bodies and messages.
	KeysFile string `yaml:"keys_file" jsonschema:"minLength=1"`
	// Replicas is how many there are at the most, those that a roll-out adds with
	// them. Needed with addresses: while the store is gone, each goes on with that
	// part of the rate.
	Replicas int `yaml:"replicas" jsonschema:"minimum=1"`
	// Timeout of a round trip; the store's own when 0. Tests of several replicas, which are
	// not about a store that is slow, have more, for machines that are.
	Timeout time.Duration `yaml:"-"`
}

// Connection is where the store is.
func (s *Store) Connection() store.Config {
	return store.Config{Addresses: s.Addresses, Master: s.Master, Cluster: s.Cluster, Database: s.Database, Timeout: s.Timeout}
}
