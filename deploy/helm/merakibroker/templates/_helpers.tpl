{{- define "merakibroker.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "merakibroker.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "merakibroker.name" .) .Values.serviceAccount.name }}{{ else }}{{ default "default" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{- define "merakibroker.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "merakibroker.labels" -}}
{{ include "merakibroker.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* The configuration that merakid reads: the user's, with what this chart decides filled in. */}}
{{- define "merakibroker.config" -}}
{{- $config := deepCopy .Values.config }}
{{- $_ := set $config "listen" (default "0.0.0.0:50051" $config.listen) }}
{{- $_ := set $config "admin" (default "0.0.0.0:9090" $config.admin) }}
{{- if and .Values.apiKey.secret (not $config.credentials) }}
{{- $key := dict "name" "default" "file" (printf "/etc/merakibroker/key/%s" .Values.apiKey.key) }}
{{- $_ := set $config "credentials" (dict "keys" (list $key)) }}
{{- end }}
{{- $most := ternary (int .Values.autoscaling.maxReplicas) (int .Values.replicaCount) .Values.autoscaling.enabled }}
{{- $store := default dict $config.store }}
{{- if and (gt $most 1) (not $store.addresses) }}
{{- fail "more than one replica needs config.store.addresses: without the store each replica would spend the whole of every budget" }}
{{- end }}
{{- if $store.addresses }}
{{- $_ := set $store "replicas" (default $most $store.replicas) }}
{{- $_ := set $config "store" $store }}
{{- end }}
{{- include "merakibroker.check" (dict "config" $config "Files" .Files) }}
{{- toYaml $config }}
{{- end }}

{{/* How kubelet asks: a list of the root context and the path on the admin port. */}}
{{- define "merakibroker.probe" -}}
{{- $root := index . 0 }}
{{- if eq $root.Values.probes.type "grpc" -}}
grpc:
  port: 50051
{{- else -}}
httpGet:
  path: {{ index . 1 }}
  port: admin
{{- end }}
{{- end }}
