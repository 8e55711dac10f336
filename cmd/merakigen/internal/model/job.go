package model

import (
	"maps"
	"slices"
	"strings"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/openapi"
)

// ended are the values of a job's status after which no other comes. Both words
// for success occur, also where the document lists only one.
var ended = []string{"complete", "completed", "failed"}

// job pairs a POST with the GET of the one path below it, where that GET answers
// with a status that ends: the live tools, and others whose known values say so.
// An override names the rest.
func (b *builder) job(op *Operation) {
	if o := b.overrides[op.Option.Id].Job; o != nil {
		op.Option.Job = &apiv1.Job{Read: o.Read, Parameter: o.Parameter, Property: o.Property}
		for _, property := range slices.Sorted(maps.Keys(o.Ends)) {
			op.Option.Job.Ends = append(op.Option.Job.Ends, &apiv1.JobEnd{Property: property, Values: o.Ends[property]})
		}
		return
	}
	if op.Option.Verb != apiv1.Verb_VERB_POST || op.source.Response == nil {
		return
	}
	for _, get := range b.document.Operations {
		name, ok := strings.CutPrefix(get.Path, op.Option.Path+"/{")
		if !ok || get.Method != "GET" || !strings.HasSuffix(name, "}") || strings.Contains(name, "/") {
			continue
		}
		parameter := strings.TrimSuffix(name, "}")
		status := get.Response.Property("status")
		property := started(op.source.Response, parameter)
		if status == nil || property == "" || status.Schema.Type() != "string" {
			continue
		}
		ends := slices.ContainsFunc(status.Schema.Enum, func(v string) bool { return slices.Contains(ended, strings.Trim(v, `"`)) })
		if !ends && !strings.Contains(op.Option.Path, "/liveTools/") {
			continue
		}
		op.Option.Job = &apiv1.Job{
			Read: get.ID, Parameter: parameter, Property: property,
			Ends: []*apiv1.JobEnd{{Property: "status", Values: ended}},
		}
		return
	}
}

// started is the property of an answer that names what has been started: the
// parameter's name, or else the one text that ends in Id.
func started(s *openapi.Schema, parameter string) string {
	if s.Property(parameter) != nil {
		return parameter
	}
	found := ""
	for _, p := range s.Properties {
		if !strings.HasSuffix(p.Name, "Id") || p.Schema.Type() != "string" {
			continue
		}
		if found != "" {
			return ""
		}
		found = p.Name
	}
	return found
}
