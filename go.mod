module github.com/merakibroker/merakibroker

go 1.26.0

require (
	charm.land/bubbletea/v2 v2.1.1 // merakictl top: the terminal, its keys and its size
	github.com/HdrHistogram/hdrhistogram-go v1.4.0 // percentiles of merakibench that keep their precision at the tail
	github.com/bufbuild/protocompile v0.14.1 // merakigen reads the protos that are the lock, without a protoc
	github.com/charmbracelet/x/ansi v0.11.9 // merakictl top: lines cut to the width of the terminal
	github.com/charmbracelet/x/vt v0.1.0 // tests: the screen of a terminal, as text
	github.com/chromedp/cdproto v0.0.0-20250724212937-08a3db8b4327 // tests: what chromedp speaks, for colours and sizes of the screen
	github.com/chromedp/chromedp v0.14.2 // tests: the page in a real Chromium
	github.com/creack/pty v1.1.24 // tests: a pseudo-terminal
	github.com/envoyproxy/go-control-plane v0.14.0 // tests: a control plane to be told by, for xDS
	github.com/envoyproxy/go-control-plane/envoy v1.39.1-0.20260819172001-e6e3fd93e4be // tests: its messages
	github.com/go-jose/go-jose/v4 v4.1.4 // reads the keys of token issuers (JWKS)
	github.com/golang-jwt/jwt/v5 v5.3.1 // callers' tokens
	github.com/hashicorp/golang-lru/v2 v2.0.7 // bounded maps that forget what was used least
	github.com/invopop/jsonschema v0.14.0 // the schema of the configuration, made of its fields and their comments
	github.com/prometheus/client_golang v1.25.0 // metrics
	github.com/redis/go-redis/v9 v9.23.0 // the shared store: single, Sentinel and Cluster; only service/store and ratelimit/redis see it
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.3 // the configuration held against its schema, with the library and so the words of Helm
	github.com/spf13/cobra v1.10.2 // merakictl: commands, help, completion
	github.com/spf13/pflag v1.0.9 // merakictl: the flags of its commands
	go.opentelemetry.io/otel v1.47.0 // traces
	go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc v1.47.0 // where traces go
	go.opentelemetry.io/otel/exporters/prometheus v0.69.0 // gRPC's own metrics beside ours
	go.opentelemetry.io/otel/sdk v1.47.0 // traces: sampling and batches
	go.opentelemetry.io/otel/sdk/metric v1.47.0 // gRPC's own metrics are OpenTelemetry's
	go.opentelemetry.io/otel/trace v1.47.0 // spans
	go.opentelemetry.io/proto/otlp v1.11.0 // tests: a collector that looks at what arrives
	go.uber.org/goleak v1.3.0 // tests: no goroutine is left behind
	go.yaml.in/yaml/v3 v3.0.6 // configuration, strict about unknown keys
	golang.org/x/net v0.60.0 // tests: HTTP/2 frame by frame
	golang.org/x/sys v0.48.0 // asks a socket what the other side has not confirmed
	golang.org/x/text v0.42.0 // the language that the schema's library speaks
	golang.org/x/time v0.16.0 // rate: the token bucket in one process
	google.golang.org/genproto/googleapis/api v0.0.0-20261019180522-ce908d29299b // google.api.http, for the descriptor set with annotations
	google.golang.org/genproto/googleapis/rpc v0.0.0-20261019180522-ce908d29299b // google.rpc: the details of an error
	google.golang.org/grpc v1.85.0 // the server, health, reflection, channelz, xDS
	google.golang.org/protobuf v1.36.12 // descriptors and the wire
)

require (
	cel.dev/expr v0.25.3 // indirect
	cloud.google.com/go/compute/metadata v0.9.0 // indirect
	github.com/BurntSushi/toml v1.4.1-0.20240526193622-a339e1f7089c // indirect
	github.com/bahlo/generic-list-go v0.2.0 // indirect
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/buger/jsonparser v1.1.2 // indirect
	github.com/cenkalti/backoff/v5 v5.0.3 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/charmbracelet/colorprofile v0.4.3 // indirect
	github.com/charmbracelet/ultraviolet v0.0.0-20261008173134-6b8d4baf91b4 // indirect
	github.com/charmbracelet/x/exp/ordered v0.1.0 // indirect
	github.com/charmbracelet/x/term v0.2.2 // indirect
	github.com/charmbracelet/x/termios v0.1.1 // indirect
	github.com/charmbracelet/x/windows v0.2.2 // indirect
	github.com/chromedp/sysutil v1.1.0 // indirect
	github.com/clipperhouse/displaywidth v0.11.0 // indirect
	github.com/clipperhouse/uax29/v2 v2.7.0 // indirect
	github.com/cncf/xds/go v0.0.0-20260202195803-dba9d589def2 // indirect
	github.com/envoyproxy/go-control-plane/ratelimit v0.1.0 // indirect
	github.com/envoyproxy/protoc-gen-validate v1.3.3 // indirect
	github.com/go-json-experiment/json v0.0.0-20250725192818-e39067aee2d2 // indirect
	github.com/go-logr/logr v1.4.4 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	github.com/gobwas/httphead v0.1.0 // indirect
	github.com/gobwas/pool v0.2.1 // indirect
	github.com/gobwas/ws v1.4.0 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/grpc-ecosystem/grpc-gateway/v2 v2.30.0 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/lucasb-eyer/go-colorful v1.4.1 // indirect
	github.com/mattn/go-runewidth v0.0.30 // indirect
	github.com/muesli/cancelreader v0.2.2 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/pb33f/ordered-map/v2 v2.3.1 // indirect
	github.com/planetscale/vtprotobuf v0.6.1-0.20240319094008-0393e58bdf10 // indirect
	github.com/prometheus/client_model v0.6.3 // indirect
	github.com/prometheus/common v0.72.0 // indirect
	github.com/prometheus/otlptranslator v1.0.0 // indirect
	github.com/prometheus/procfs v0.22.0 // indirect
	github.com/rivo/uniseg v0.4.7 // indirect
	github.com/spiffe/go-spiffe/v2 v2.8.1 // indirect
	github.com/xo/terminfo v1.0.0 // indirect
	go.opentelemetry.io/auto/sdk v1.2.1 // indirect
	go.opentelemetry.io/otel/exporters/otlp/otlptrace v1.47.0 // indirect
	go.opentelemetry.io/otel/log v1.47.0 // indirect
	go.opentelemetry.io/otel/metric v1.47.0 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	go.yaml.in/yaml/v4 v4.0.0-rc.2 // indirect
	golang.org/x/exp/typeparams v0.0.0-20231108232855-2478ac86f678 // indirect
	golang.org/x/mod v0.41.0 // indirect
	golang.org/x/oauth2 v0.37.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/tools v0.51.0 // indirect
	google.golang.org/grpc/cmd/protoc-gen-go-grpc v1.6.2 // indirect
	honnef.co/go/tools v0.8.2 // indirect
)

tool (
	google.golang.org/grpc/cmd/protoc-gen-go-grpc
	google.golang.org/protobuf/cmd/protoc-gen-go
	honnef.co/go/tools/cmd/staticcheck
)
