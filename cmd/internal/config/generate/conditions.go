package main

import (
	"encoding/json"

	"github.com/invopop/jsonschema"
)

// conditions adds what several keys say together, as far as a schema can say it.
func conditions(s *jsonschema.Schema) {
	empty := func(key string) *jsonschema.Schema { return with(key, &jsonschema.Schema{MaxLength: new(uint64)}) }

	store := property(s, "store")
	for _, key := range []string{"cluster", "database", "password_file", "tls", "replicas"} {
		depend(store, key, []string{"addresses"})
	}
	depend(store, "username", []string{"addresses", "password_file"})
	depend(store, "sentinel_username", []string{"addresses", "sentinel_password_file"})
	depend(store, "sentinel_password_file", []string{"addresses", "master"})
	withTLS := with("tls", &jsonschema.Schema{Const: true})
	withTLS.Required = []string{"addresses", "tls"}
	depend(store, "ca_file", withTLS)
	alone := with("cluster", &jsonschema.Schema{Const: false})
	alone.Required = []string{"addresses"}
	depend(store, "master", alone)

	for _, key := range []string{"reads", "required"} {
		depend(property(s, "audit"), key, []string{"to"})
	}

	token := property(s, "identity", "token")
	token.AnyOf = []*jsonschema.Schema{required("keys_file"), required("keys_url")}
	depend(token, "keys_file", empty("keys_url"))
	keys := property(s, "credentials", "keys").Items
	keys.AnyOf = []*jsonschema.Schema{required("file"), required("env")}
	depend(keys, "file", empty("env"))

	grant := property(s, "policy", "operations").Items
	grant.AnyOf = []*jsonschema.Schema{required("section"), required("operation"), required("rpc")}
	section := empty("operation")
	section.Properties.Set("rpc", &jsonschema.Schema{MaxLength: new(uint64)})
	section.Required = []string{"verbs"}
	depend(grant, "section", section)
	operation := empty("rpc")
	operation.Properties.Set("verbs", &jsonschema.Schema{MaxItems: new(uint64)})
	depend(grant, "operation", operation)

	tls := property(s, "tls")
	asks := with("client_auth", &jsonschema.Schema{Enum: []any{"require", "optional"}})
	asks.Required = []string{"client_auth"}
	none := with("client_auth", &jsonschema.Schema{Const: "none"})
	none.Required = []string{"client_auth"}
	tls.AllOf = []*jsonschema.Schema{{If: asks, Then: required("client_ca_file")}, {If: none, Then: empty("client_ca_file")}}

	// Rates are what the Dashboard gives, but for a simulated one.
	simulated := with("simulated", &jsonschema.Schema{Const: true})
	simulated.Required = []string{"simulated"}
	rates := with("rate", &jsonschema.Schema{Maximum: json.Number("10")})
	rates.Properties.Set("burst", &jsonschema.Schema{Maximum: json.Number("10")})
	rates.Properties.Set("cautious_rate", &jsonschema.Schema{Maximum: json.Number("10")})
	rates.Properties.Set("address_rate", &jsonschema.Schema{Maximum: json.Number("100")})
	// Who has an identity needs a rule.
	peer := with("peer_certificate", &jsonschema.Schema{Const: true})
	peer.Required = []string{"peer_certificate"}
	known := with("identity", &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
		required("forwarded_client_cert"), required("linkerd_client_id"), required("token"), peer,
	}})
	known.Required = []string{"identity"}
	s.AllOf = []*jsonschema.Schema{{If: simulated, Else: with("budget", rates)}, {If: known, Then: required("policy")}}
}

// requireReplicas asks for their number where there is a store.
func requireReplicas(s *jsonschema.Schema) {
	depend(property(s, "store"), "addresses", []string{"replicas"})
}
