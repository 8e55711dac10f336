package service

import (
	"context"
	"strconv"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/outcome"
)

// What a caller may say beside the request. Every key is optional.
const (
	// keyPriority: critical, normal (the default) or bulk.
	keyPriority = "meraki-priority"
	// keyOrganization: the organization that owns the network or device, where
	// the caller knows; believed until an answer contradicts it.
	keyOrganization = "meraki-organization-id"
	// keyMaxAge: seconds; an answer to the same read that is no older may be reused.
	keyMaxAge = "meraki-max-age"
	// keyRetryWrites: true says that repeating this write does no harm.
	keyRetryWrites = "meraki-retry-writes"
	// keyIdempotency: the caller's own name of a write. The same name again gets the
	// outcome of the first.
	keyIdempotency = outcome.Metadata
	// keyAPIKey: a Dashboard key of the caller's own, where the broker allows it.
	keyAPIKey = "meraki-api-key"
)

// What a reply says beside the answer.
const (
	headerCache    = "meraki-cache"
	headerQueue    = "meraki-queue-ms"
	headerAttempts = "meraki-attempts"
	// headerDrift counts the places in which the answer differed from the contract;
	// ListDrift has their paths.
	headerDrift = "meraki-drift"
	// headerSize is how many bytes a message has that is larger than clients take
	// unless they are told otherwise.
	headerSize = "meraki-message-bytes"
)

// Keys that meshes and clients set when they repeat a call by themselves.
const (
	keyEnvoyAttempt = "x-envoy-attempt-count"
	keyGRPCAttempts = "grpc-previous-rpc-attempts"
)

// sentMetadata is the metadata of a call as it came in. Package metadata would copy all of
// it, or search all of it again for each key that is not there. The headers that
// name a caller still stand in it: only the keys above are for here.
func sentMetadata(ctx context.Context) metadata.MD {
	if a := arrivalOf(ctx); a != nil {
		return a.header
	}
	md, _ := metadata.FromIncomingContext(ctx)
	return md
}

// said is what a caller said beside the request. Nil stands for nothing.
type said struct {
	priority     *ratelimit.Priority
	organization string
	maxAge       *time.Duration
	retryWrites  *bool
	repeated     bool
	name         string // of a write
	ownKey       string
}

// readMetadata takes what the caller said beside the request.
func readMetadata(md metadata.MD) (s said, err error) {
	twice := ""
	only := func(key string) string {
		for i, v := range md[key] {
			if i > 0 && v != md[key][0] {
				twice = key
			}
		}
		return first(md, key)
	}
	if v := only(keyPriority); v != "" {
		p, ok := ratelimit.ParsePriority(v)
		if !ok {
			return s, fault.Bad(keyPriority, "metadata %s is %q; it takes critical, normal or bulk", keyPriority, clip(v, 40))
		}
		s.priority = &p
	}
	if v := only(keyOrganization); v != "" {
		if !isID(v) {
			return s, fault.Bad(keyOrganization, "metadata %s is %q, which is not an organization's id", keyOrganization, clip(v, 40))
		}
		s.organization = v
	}
	if v := only(keyMaxAge); v != "" {
		seconds, err := strconv.ParseFloat(v, 64)
		if err != nil || !(seconds >= 0 && seconds <= maxAgeLimit.Seconds()) {
			return s, fault.Bad(keyMaxAge, "metadata %s is %q; it takes seconds from 0 to %g", keyMaxAge, clip(v, 40), maxAgeLimit.Seconds())
		}
		age := time.Duration(seconds * float64(time.Second))
		s.maxAge = &age
	}
	if v := only(keyRetryWrites); v != "" {
		b, err := strconv.ParseBool(v)
		if err != nil {
			return s, fault.Bad(keyRetryWrites, "metadata %s is %q; it takes true or false", keyRetryWrites, clip(v, 40))
		}
		s.retryWrites = &b
	}
	s.repeated = more(md, keyEnvoyAttempt, 1) || more(md, keyGRPCAttempts, 0)
	s.ownKey, s.name = only(keyAPIKey), only(keyIdempotency)
	if twice != "" {
		return s, fault.Bad(twice, "metadata %s has two values that differ; send one", twice)
	}
	return s, nil
}

// maxAgeLimit bounds how old an answer a caller may accept.
const maxAgeLimit = time.Hour

// more tells whether a number among the metadata is above n. The layers in front of
// the broker count so how often they have sent this call.
func more(md metadata.MD, key string, n int) bool {
	v := first(md, key)
	if v == "" {
		return false // to try and read it would cost an error
	}
	got, err := strconv.Atoi(v)
	return err == nil && got > n
}

func first(md metadata.MD, key string) string {
	if v := md[key]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// isID accepts what the Dashboard uses as ids: letters, digits, - and _.
func isID(s string) bool {
	if len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_') {
			return false
		}
	}
	return s != ""
}
