package broker

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/owner"
)

// listing is an operation that lists organizations, or what one of them owns. It
// is asked for the largest pages that its documentation allows within reason.
func listing(id, path string, scope apiv1.Scope) *apiv1.Operation {
	return &apiv1.Operation{
		Id: id, Path: path, Verb: apiv1.Verb_VERB_GET,
		Scope: scope, RetryClass: apiv1.RetryClass_RETRY_CLASS_READ,
	}
}

// preloader is who the budget's record names for calls that nobody made.
const preloader = "(preload)"

// EveryOrganization stands for all that a key sees.
const EveryOrganization = "*"

// Preload learns the networks, templates and devices of organizations, page by
// page, at bulk priority and under their budgets, so that no call has to wait
// for a look-up. EveryOrganization among them is every organization that the key sees. It
// returns the first fault, having tried every organization.
func (b *Broker) Preload(ctx context.Context, key dashboard.Key, organizations ...string) error {
	var first *fault.Error
	if slices.Contains(organizations, EveryOrganization) {
		organizations, first = b.organizations(ctx, key)
	}
	for _, o := range organizations {
		key, ok := b.keyFor(o, key)
		if !ok {
			continue
		}
		for _, kind := range [...]owner.Kind{owner.Network, owner.Device} {
			if f := b.preload(ctx, key, o, kind); f != nil && first == nil {
				first = f
			}
		}
	}
	if first == nil {
		return nil
	}
	return first
}

// keyFor is the key for a list of an organization's that no caller has asked for.
func (b *Broker) keyFor(organization string, atHand dashboard.Key) (dashboard.Key, bool) {
	if b.config.KeyFor == nil {
		return atHand, true
	}
	return b.config.KeyFor(organization)
}

// organizations lists the organizations that a key sees: with a fault, those of
// the pages before it.
func (b *Broker) organizations(ctx context.Context, key dashboard.Key) (ids []string, f *fault.Error) {
	op := listing("getOrganizations", "/organizations", apiv1.Scope_SCOPE_NONE)
	f = b.list(ctx, &Call{Operation: op, Path: op.GetPath(), Query: "perPage=9000", Key: key}, func(a *Answer) {
		var page []struct{ ID string }
		if json.Unmarshal(a.Body, &page) == nil {
			for _, o := range page {
				ids = append(ids, o.ID)
			}
		}
	})
	return ids, f
}

// preload lists the networks and templates, or the devices, of an organization.
func (b *Broker) preload(ctx context.Context, key dashboard.Key, organization string, kind owner.Kind) *fault.Error {
	if kind == owner.Device {
		return b.listOf(ctx, key, organization, "getOrganizationInventoryDevices", "/inventory/devices", "perPage=1000")
	}
	if f := b.listOf(ctx, key, organization, "getOrganizationNetworks", "/networks", "perPage=5000"); f != nil {
		return f
	}
	return b.listOf(ctx, key, organization, "getOrganizationConfigTemplates", "/configTemplates", "")
}

// listOf lists one kind of what an organization owns.
func (b *Broker) listOf(ctx context.Context, key dashboard.Key, organization, id, below, query string) *fault.Error {
	op := listing(id, "/organizations/{organizationId}"+below, apiv1.Scope_SCOPE_ORGANIZATION)
	return b.list(ctx, &Call{
		Operation: op, ID: organization, Path: "/organizations/" + url.PathEscape(organization) + below, Query: query, Key: key,
	}, func(*Answer) {})
}

// list reads every page of the list that begins with a call. What the pages say of
// owners is learned on the way.
func (b *Broker) list(ctx context.Context, c *Call, each func(*Answer)) *fault.Error {
	c.Caller, c.Priority = preloader, ratelimit.Bulk
	return fault.As(b.Pages(ctx, c, func(_ *Call, a *Answer) error {
		each(a)
		return nil
	}))
}

// mostTemplateLists bounds the organizations whose templates are listed for one miss.
const mostTemplateLists = 50

// learnTemplates lists the templates of the organizations that a key sees, in the
// background and once an hour at the most: an id of which the Dashboard says that it
// is no network may be a template's, which has no look-up of its own.
func (b *Broker) learnTemplates(key dashboard.Key) {
	if b.life.Draining() || !b.owners.TemplatesDue(time.Now(), key.ID()) {
		return
	}
	b.life.Go(func() {
		ctx := b.life.Context()
		organizations, _ := b.organizations(ctx, key)
		for _, o := range organizations[:min(len(organizations), mostTemplateLists)] {
			key, ok := b.keyFor(o, key)
			if !ok {
				continue // the key sees the organization, and is not there for it
			}
			_ = b.listOf(ctx, key, o, "getOrganizationConfigTemplates", "/configTemplates", "")
		}
	})
}
