{{/* What merakid would refuse in the configuration and values.schema.json cannot tell, in
     merakid's words. What only the pod can know (files, the store) is told at its start. */}}
{{- define "merakibroker.check" -}}
{{- $operations := splitList "\n" (.Files.Get "operations.txt") }}
{{- $config := .config }}
{{- $names := dict }}
{{- range $i, $rule := $config.policy }}
{{- if hasKey $names $rule.name }}
{{- fail (printf "config: policy[%d].name: %q is the name of rule %d too" $i $rule.name (get $names $rule.name)) }}
{{- end }}
{{- $_ := set $names $rule.name $i }}
{{- range $j, $grant := $rule.operations }}
{{- if and $grant.operation (not (has $grant.operation $operations)) }}
{{- fail (printf "config: policy[%d].operations[%d].operation: %q is not an operation that has an RPC; those that have none go through the RPC Call" $i $j $grant.operation) }}
{{- end }}
{{- end }}
{{- end }}
{{- $keys := dict }}
{{- range $i, $key := (default dict $config.credentials).keys }}
{{- if hasKey $keys $key.name }}
{{- fail (printf "config: credentials.keys[%d].name: %q is the name of key %d too" $i $key.name (get $keys $key.name)) }}
{{- end }}
{{- $_ := set $keys $key.name $i }}
{{- end }}
{{- $at := dict }}
{{- range $key := list "listen" "admin" "rest" }}
{{- $address := default "" (get $config $key) }}
{{- $port := regexFind "[0-9]+$" $address }}
{{- if or (gt (len (trimAll "0" $port)) 5) (gt (int $port) 65535) }}
{{- fail (printf "config: %s: %q is not host:port: a port is a number up to 65535" $key $address) }}
{{- end }}
{{- if and $address (hasKey $at $address) (gt (int $port) 0) }}
{{- fail (printf "config: %s: %s is the address of %s too" $key $address (get $at $address)) }}
{{- end }}
{{- $_ := set $at $address $key }}
{{- end }}
{{- $outcomes := default dict $config.outcomes }}
{{- range $key, $range := dict "life" (list 60 604800 "1m0s to 168h0m0s") "grace" (list 1 300 "1s to 5m0s") }}
{{- $value := get $outcomes $key }}
{{- $seconds := include "merakibroker.seconds" (default "60s" $value) | float64 }}
{{- if or (lt $seconds (float64 (index $range 0))) (gt $seconds (float64 (index $range 1))) }}
{{- fail (printf "config: outcomes.%s: %s is not from %s" $key $value (index $range 2)) }}
{{- end }}
{{- end }}
{{- if not $config.simulated }}
{{- $budget := default dict $config.budget }}
{{- $rate := ternary $budget.rate 10 (hasKey $budget "rate") | float64 }}
{{- $burst := ternary $budget.burst 8 (hasKey $budget "burst") | float64 }}
{{- $jitter := include "merakibroker.seconds" (default "200ms" $budget.jitter) | float64 }}
{{- $late := mulf $rate $jitter }}
{{- $sum := addf $burst $late }}
{{- if gt $sum 10.000000001 }}
{{- fail (printf "config: budget: burst %g + rate %g/s x jitter %gs = %g + %g = %g, above the burst of 10 that is accepted: lower the burst to %g, or the rate" $burst $rate $jitter $burst $late $sum (maxf 0.0 (subf 10.0 $late))) }}
{{- end }}
{{- end }}
{{- $egress := default "" (default dict $config.budget).egress }}
{{- if $egress }}
{{- $store := default dict $config.store }}
{{- if not $store.addresses }}
{{- fail "config: budget.egress: replicas share the budget of an egress through the store, and store.addresses is missing: name the store, or leave budget.egress away and give each replica its part as budget.address_rate" }}
{{- end }}
{{- $part := ternary $config.budget.address_rate 100 (hasKey $config.budget "address_rate") | float64 }}
{{- if and (gt (int $store.replicas) 1) (le (mulf $part (float64 $store.replicas)) 100.0) }}
{{- fail (printf "config: budget.address_rate: %g for each of %d replicas is a part of the address's 100, and budget.egress %q shares the whole of it: leave out budget.address_rate, or budget.egress" $part (int $store.replicas) $egress) }}
{{- end }}
{{- end }}
{{- $identity := default dict $config.identity }}
{{- $known := or $identity.peer_certificate $identity.forwarded_client_cert $identity.linkerd_client_id $identity.token }}
{{- if not (or $known $config.anonymous_everywhere (hasPrefix "127." $config.listen) (hasPrefix "localhost:" $config.listen)) }}
{{- fail (printf "config: listen: %s is an address that others can reach, and no source of identity is on: whoever reaches it could spend your budget with your key. Configure identity, or say anonymous_everywhere: true" $config.listen) }}
{{- end }}
{{- end }}

{{/* A duration in seconds. */}}
{{- define "merakibroker.seconds" -}}
{{- $sum := 0.0 }}
{{- range regexFindAll "[0-9]+(\\.[0-9]+)?(ms|s|m|h)" . -1 }}
{{- $unit := regexFind "[a-z]+" . }}
{{- $sum = addf $sum (mulf (trimSuffix $unit . | float64) (get (dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0) $unit)) }}
{{- end }}
{{- $sum }}
{{- end }}
