package model

import (
	_ "embed"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

//go:embed overrides.yaml
var overrides []byte

// Overrides are what is known about operations and the document does not say,
// or says wrongly, by operationId.
type Overrides map[string]Override

// An Override corrects one operation. Reason is required: where it is known from.
type Override struct {
	Reason string `yaml:"reason"`
	// Limit is a token bucket of the operation's own.
	Limit *struct {
		Requests int32  `yaml:"requests"`
		Seconds  int32  `yaml:"seconds"`
		Burst    int32  `yaml:"burst"`
		Key      string `yaml:"key"`
	} `yaml:"limit"`
	// Paging is link, backward or bounded.
	Paging string `yaml:"paging"`
	// Retry is read or idempotent, for a POST that is safe to repeat, or unsafe.
	Retry string `yaml:"retry"`
	// Items is the property that holds the rows.
	Items string `yaml:"items"`
	// Empty: the documented body is none.
	Empty bool `yaml:"empty"`
	// NotFolded: the operation writes no configuration, so that a batch, which is
	// all or nothing, is no place for a single call of it.
	NotFolded bool `yaml:"notFolded"`
	// RowKey names the properties that tell the rows of its answer apart.
	RowKey []string `yaml:"rowKey"`
	// Job says where the state of what it starts is read.
	Job *struct {
		Read      string              `yaml:"read"`
		Parameter string              `yaml:"parameter"`
		Property  string              `yaml:"property"`
		Ends      map[string][]string `yaml:"ends"`
	} `yaml:"job"`
	// Apart are properties of the request that say how to do it and are none of the
	// resource.
	Apart []string `yaml:"apart"`
	// Owners are properties of the request that name an organization, network,
	// device or resource, where their names do not say so.
	Owners map[string]string `yaml:"owners"`

	// faults are where the document says something wrong about what is on the wire.
	faults []*Fault
}

// Known reads the overrides that the generator carries.
func Known() (Overrides, error) {
	out := make(Overrides)
	d := yaml.NewDecoder(strings.NewReader(string(overrides)))
	d.KnownFields(true)
	if err := d.Decode(&out); err != nil {
		return nil, fmt.Errorf("overrides.yaml: %w", err)
	}
	for id, o := range out {
		if o.Reason == "" {
			return nil, fmt.Errorf("overrides.yaml: %s has no reason", id)
		}
		if _, ok := pagings[o.Paging]; !ok {
			return nil, fmt.Errorf("overrides.yaml: %s: paging %q", id, o.Paging)
		}
		if _, ok := retries[o.Retry]; !ok {
			return nil, fmt.Errorf("overrides.yaml: %s: retry %q", id, o.Retry)
		}
		for at, kind := range o.Owners {
			if _, ok := ownerKinds[kind]; !ok {
				return nil, fmt.Errorf("overrides.yaml: %s: %s names a %q", id, at, kind)
			}
		}
	}
	return out, out.addFaults()
}

var pagings = map[string]apiv1.PagingStyle{
	"":         0,
	"link":     apiv1.PagingStyle_PAGING_STYLE_LINK,
	"backward": apiv1.PagingStyle_PAGING_STYLE_LINK_BACKWARD,
	"bounded":  apiv1.PagingStyle_PAGING_STYLE_BOUNDED,
}

var retries = map[string]apiv1.RetryClass{
	"":           0,
	"read":       apiv1.RetryClass_RETRY_CLASS_READ,
	"idempotent": apiv1.RetryClass_RETRY_CLASS_IDEMPOTENT,
	"unsafe":     apiv1.RetryClass_RETRY_CLASS_UNSAFE,
}

func (b *builder) override(op *Operation) {
	o := b.overrides[op.Option.Id]
	if l := o.Limit; l != nil {
		op.Option.Limit = &apiv1.Limit{Requests: l.Requests, Seconds: l.Seconds, Burst: l.Burst, Key: l.Key}
	}
	if style := pagings[o.Paging]; style != 0 && op.Option.Paging != nil {
		op.Option.Paging.Style = style
	}
	if class := retries[o.Retry]; class != 0 {
		op.Option.RetryClass = class
	}
}
