package sandbox

import (
	"net/http"
	"strings"
	"time"
)

// What the Dashboard says, in the documented words where there are any.
const (
	saysMissingKey = "Missing API key"
	saysWrongKey   = "Invalid API key"
	saysNotFound   = "Not found"
	saysForbidden  = "You do not have permission to access this organization"
	saysTooMany    = "API rate limit exceeded for organization"
	// No body is documented for limits of an operation's own.
	saysTooManyOwn = "API rate limit exceeded for this operation"
	saysDisabled   = "To make requests you must first enable API access via https://n1.meraki.com/o/XXXXXX/manage/organization/edit"
)

// screen counts a request. It gives the refusal, or nil when the request passes.
// The order is the Dashboard's, as far as it can be seen: the proxy's limit by
// address, the key, the organization, the organization's budget.
func (s *Sandbox) screen(c *request) *response {
	a := c.org
	a.mu.Lock()
	c.now = s.opts.Now()
	a.counts.arrive(c.now)
	a.operation(c.route).arrive(c.now)
	a.meter.count(c.now, s.opts.OrgRate, s.opts.OrgBurst)
	a.inFlight++
	a.mostFlight = max(a.mostFlight, a.inFlight)
	a.mu.Unlock()

	s.agents.count(c.r.UserAgent())
	s.addresses.arrive(c.address, c.now)
	if !s.opts.LimitsOff && s.opts.AddressRate > 0 {
		if ok, _ := s.addresses.take(c.address, c.now, s.opts.AddressRate, s.opts.AddressRate); !ok {
			a.limited(c.route, byAddress)
			s.addresses.refused(c.address)
			return &response{status: http.StatusTooManyRequests, ctype: "text/html", body: []byte(htmlTooMany), notInTelemetry: true}
		}
	}
	if no := s.authorize(c); no != nil {
		return no
	}
	if s.opts.LimitsOff {
		return c.missing()
	}
	if c.at.Org >= 0 {
		if wait, ok := a.spend(s); !ok {
			a.limited(c.route, byOrganization)
			no := refusal(http.StatusTooManyRequests, saysTooMany)
			no.retryAfter = retryAfter(wait)
			return no
		}
	}
	if no := s.ownLimit(c); no != nil {
		return no
	}
	return c.missing()
}

// missing refuses what is not there.
func (c *request) missing() *response {
	if c.route == nil && !c.undocumented {
		return pageNotFound()
	}
	if c.known {
		return nil
	}
	return refusal(http.StatusNotFound, saysNotFound)
}

// authorize checks the key and what it reaches.
func (s *Sandbox) authorize(c *request) *response {
	key := keyOf(c.r)
	if key == "" {
		return refusal(http.StatusUnauthorized, saysMissingKey)
	}
	if s.allowed != nil {
		set, ok := s.allowed[key]
		if !ok {
			return refusal(http.StatusUnauthorized, saysWrongKey)
		}
		c.allowed = set
	}
	if c.at.Org < 0 {
		return c.missing()
	}
	if c.allowed != nil && !c.allowed[c.org.id] {
		if strings.HasPrefix(c.sent, "/organizations/") {
			return refusal(http.StatusForbidden, saysForbidden)
		}
		return refusal(http.StatusNotFound, saysNotFound) // what it cannot see is not there
	}
	if s.disabled[c.org.id] {
		return refusal(http.StatusNotFound, saysDisabled)
	}
	return nil
}

func keyOf(r *http.Request) string {
	if k := r.Header.Get("X-Cisco-Meraki-API-Key"); k != "" {
		return k
	}
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(key)
}

// spend takes a token of the organization's bucket.
func (a *orgState) spend(s *Sandbox) (wait time.Duration, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := s.opts.Now()
	if a.bucket.take(now, s.opts.OrgRate, s.opts.OrgBurst) {
		return 0, true
	}
	wait = a.bucket.again(s.opts.OrgRate)
	// "Varies with the organization's consumption": two seconds when twice the
	// budget arrived in the last one.
	if float64(len(a.meter.recent)-a.meter.head) > 2*(s.opts.OrgRate+s.opts.OrgBurst) {
		wait = max(wait, 2*time.Second)
	}
	return wait, false
}

// ownLimit holds a request against the limit of its operation.
func (s *Sandbox) ownLimit(c *request) *response {
	if c.route == nil {
		return nil
	}
	l := c.route.op.GetLimit()
	if l == nil || l.GetSeconds() <= 0 || l.GetRequests() <= 0 {
		return nil
	}
	rate := float64(l.GetRequests()) / float64(l.GetSeconds())
	burst := float64(max(1, l.GetBurst()))
	ok, wait := s.own.take(c.route.op.GetId()+" "+c.param(l.GetKey()), c.now, rate, burst)
	if ok {
		return nil
	}
	c.org.limited(c.route, byOperation)
	no := refusal(http.StatusTooManyRequests, saysTooManyOwn)
	no.retryAfter = retryAfter(wait)
	return no
}

// outsider lets another application draw on an organization's budget.
func (s *Sandbox) outsider(org int, rate float64, d time.Duration) {
	a := s.orgState(org)
	a.mu.Lock()
	defer a.mu.Unlock()
	now := s.opts.Now()
	a.bucket.advance(now, s.opts.OrgRate, s.opts.OrgBurst)
	a.bucket.outside = append(a.bucket.outside, outside{rate: rate, from: now, until: now.Add(d)})
	a.outside += rate * d.Seconds()
}
