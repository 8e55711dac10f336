package service

import (
	"encoding/base64"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/fault"
)

const (
	// trailerBytes bounds the whole trailer as HTTP/2 counts it (name, value
	// and 32 bytes for each entry). gRPC's C core, and so Python, Ruby, C++ and
	// PHP, starts to drop trailers at 8 KiB; proxies add entries of their own.
	trailerBytes = 4096
	entryBytes   = 32
	// messageBytes bounds the status message, which stands in the trailer twice.
	messageBytes = 512
)

// Trailers in plain ASCII, for languages without a reader of details.
const (
	trailerReason   = "meraki-reason"
	trailerStatus   = "meraki-http-status"
	trailerDelay    = "meraki-retry-delay-ms"
	trailerPushback = "grpc-retry-pushback-ms"
	trailerEnvoy    = "x-envoy-ratelimited"
)

// leave turns the failure into the status and the trailers that go out, cut so
// that all of it stays below trailerBytes.
func (r *failure) leave() (*status.Status, metadata.MD) {
	md := r.trailers()
	room := trailerBytes - size(md) - fixedBytes
	st := &spb.Status{Code: int32(r.code), Message: clip(r.message(), messageBytes)}
	d := r.details()
	st.Details = pack(d)
	for _, cut := range cuts {
		if wireSize(st) <= room {
			break
		}
		cut(st, d)
		st.Details = pack(d)
	}
	return status.FromProto(st), md
}

// fixedBytes is what gRPC adds by itself: :status, content-type, grpc-status,
// and the names of grpc-message and grpc-status-details-bin.
const fixedBytes = (7 + 3 + entryBytes) + (12 + 16 + entryBytes) + (11 + 2 + entryBytes) + (12 + entryBytes) + (23 + entryBytes)

func (r *failure) trailers() metadata.MD {
	md := metadata.MD{trailerReason: {r.fault.ReasonCode()}}
	if r.fault.HTTPStatus != 0 {
		md[trailerStatus] = []string{strconv.Itoa(r.fault.HTTPStatus)}
	}
	wait := r.delay()
	if wait > 0 {
		md[trailerDelay] = []string{strconv.FormatInt(wait.Milliseconds(), 10)}
	}
	repeat := r.repeat
	if r.fault.NoRetry {
		repeat = never
	}
	switch {
	case repeat == elsewhere:
	case repeat == asTold && wait > 0:
		// A gRPC client with a retry policy waits exactly as long; Envoy cannot
		// wait, so it is told not to try.
		md[trailerPushback] = []string{strconv.FormatInt(wait.Milliseconds(), 10)}
		md[trailerEnvoy] = []string{"true"}
	default:
		md[trailerPushback] = []string{"-1"}
		md[trailerEnvoy] = []string{"true"}
	}
	return md
}

// cuts are applied in order until the rest fits: what helps least goes first.
var cuts = []func(*spb.Status, *details){
	func(_ *spb.Status, d *details) { d.help = nil },
	func(_ *spb.Status, d *details) { keepLast(d, 5) },
	func(_ *spb.Status, d *details) { clipViolations(d, 80) },
	func(_ *spb.Status, d *details) { clipMessages(d, 10, 120) },
	func(_ *spb.Status, d *details) { d.bad = nil },
	func(_ *spb.Status, d *details) { keepLast(d, 1) },
	func(_ *spb.Status, d *details) { clipMessages(d, 3, 80) },
	func(_ *spb.Status, d *details) { d.resource, d.quota = nil, nil },
	func(s *spb.Status, _ *details) { s.Message = clip(s.Message, 128) },
	func(_ *spb.Status, d *details) { d.dashboard.Messages, d.dashboard.Attempts = nil, nil },
	func(_ *spb.Status, d *details) { d.request = nil },
	func(_ *spb.Status, d *details) { d.info.Metadata = nil },
}

func keepLast(d *details, n int) {
	if a := d.dashboard.Attempts; len(a) > n {
		d.dashboard.Attempts = a[len(a)-n:]
	}
}

func clipMessages(d *details, n, bytes int) {
	m := d.dashboard.Messages
	if len(m) > n {
		m = m[:n]
	}
	short := make([]string, len(m))
	for i := range m {
		short[i] = clip(m[i], bytes)
	}
	d.dashboard.Messages = short
}

func clipViolations(d *details, bytes int) {
	if d.bad == nil {
		return
	}
	if len(d.bad.FieldViolations) > 5 {
		d.bad.FieldViolations = d.bad.FieldViolations[:5]
	}
	for _, v := range d.bad.FieldViolations {
		v.Field, v.Description = clip(v.Field, bytes), clip(v.Description, bytes)
	}
}

func pack(d *details) []*anypb.Any {
	var all []*anypb.Any
	for _, m := range d.list() {
		// Our own messages always encode; one that does not is left out, and
		// the rest still leaves.
		if a, err := anypb.New(m); err == nil {
			all = append(all, a)
		}
	}
	return all
}

// wireSize is what the status takes in the trailer: the message, percent
// encoded, and the whole of it again in base64.
func wireSize(s *spb.Status) int {
	n := 0
	for i := range len(s.Message) {
		if c := s.Message[i]; c >= ' ' && c <= '~' && c != '%' {
			n++
		} else {
			n += 3
		}
	}
	return n + base64.RawStdEncoding.EncodedLen(proto.Size(s))
}

func size(md metadata.MD) int {
	n := 0
	for k, vs := range md {
		for _, v := range vs {
			n += len(k) + len(v) + entryBytes
		}
	}
	return n
}

// clip cuts text to at most n bytes, never in the middle of a character, and
// shows that it did.
func clip(text string, n int) string {
	if !utf8.ValidString(text) {
		text = string([]rune(text)) // replaces what is not UTF-8
	}
	if len(text) <= n {
		return text
	}
	const mark = "…"
	n -= len(mark)
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:max(n, 0)] + mark
}

// details are a failure's details, each type at most once (AIP-193), in the
// order in which clients should find them.
type details struct {
	info      *errdetails.ErrorInfo
	retry     *errdetails.RetryInfo
	dashboard *brokerv1.DashboardError
	request   *errdetails.RequestInfo
	bad       *errdetails.BadRequest
	quota     *errdetails.QuotaFailure
	resource  *errdetails.ResourceInfo
	help      *errdetails.Help
}

// list gives what is left, in order.
func (d *details) list() []proto.Message {
	all := make([]proto.Message, 0, 8)
	add := func(m proto.Message) {
		if m.ProtoReflect().IsValid() {
			all = append(all, m)
		}
	}
	add(d.info)
	add(d.retry)
	add(d.dashboard)
	add(d.request)
	add(d.bad)
	add(d.quota)
	add(d.resource)
	add(d.help)
	return all
}

// details says everything there is to say about a fault; fit cuts it to size.
func (r *failure) details() *details {
	f := r.fault
	d := &details{info: r.errorInfo(), dashboard: dashboardError(f)}
	if wait := r.delay(); wait > 0 {
		d.retry = &errdetails.RetryInfo{RetryDelay: durationpb.New(wait)}
	}
	if f.RequestID != "" {
		d.request = &errdetails.RequestInfo{RequestId: f.RequestID}
	}
	if f.Field != "" {
		d.bad = &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: f.Field, Description: f.Detail}}}
	} else if len(r.about.violations) > 0 {
		d.bad = new(errdetails.BadRequest)
		for _, v := range r.about.violations {
			d.bad.FieldViolations = append(d.bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: v.field, Description: v.description})
		}
	}
	if (f.Kind == fault.BudgetExhausted || f.Kind == fault.RateLimited) && f.Budget != "" {
		d.quota = &errdetails.QuotaFailure{Violations: []*errdetails.QuotaFailure_Violation{{Subject: f.Budget, Description: "requests a second"}}}
	}
	if (f.Kind == fault.NotFound || f.Kind == fault.APIDisabled || f.Kind == fault.Forbidden) && r.about.resource != "" {
		d.resource = &errdetails.ResourceInfo{ResourceType: "dashboard", ResourceName: r.about.resource}
	}
	if r.about.documentation != "" {
		d.help = &errdetails.Help{Links: []*errdetails.Help_Link{{Description: "the operation's page", Url: r.about.documentation}}}
	}
	return d
}

func (r *failure) errorInfo() *errdetails.ErrorInfo {
	f := r.fault
	meta := make(map[string]string, 6)
	put := func(key, value string) {
		if value != "" {
			meta[key] = value
		}
	}
	put("operation", f.Operation)
	put("budget", f.Budget)
	put("field", f.Field)
	put("requestId", f.RequestID)
	if f.HTTPStatus != 0 {
		put("httpStatus", strconv.Itoa(f.HTTPStatus))
	}
	if len(f.Attempts) > 0 {
		put("attempts", strconv.Itoa(len(f.Attempts)))
	}
	if wait := r.delay(); wait > 0 {
		put("retryDelayMs", strconv.FormatInt(wait.Milliseconds(), 10))
	}
	return &errdetails.ErrorInfo{Reason: r.fault.ReasonCode(), Domain: domainOf(f), Metadata: meta}
}

func dashboardError(f *fault.Error) *brokerv1.DashboardError {
	d := &brokerv1.DashboardError{Operation: f.Operation, HttpStatus: int32(f.HTTPStatus), Messages: f.Messages}
	for _, a := range f.Attempts {
		d.Attempts = append(d.Attempts, &brokerv1.AttemptSummary{
			StartTime:  timestamppb.New(a.Start),
			Duration:   durationpb.New(a.Duration),
			HttpStatus: int32(a.Status),
			Outcome:    brokerv1.Outcome(a.Outcome),
		})
	}
	return d
}

// documentation is the address of the vendor's page of an operation.
func documentation(operationID string) string {
	if operationID == "" || operationID == contract.UnknownOperation {
		return ""
	}
	var b strings.Builder
	b.WriteString("https://developer.cisco.com/meraki/api-v1/")
	for i, c := range operationID {
		if c >= 'A' && c <= 'Z' {
			if i > 0 {
				b.WriteByte('-')
			}
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	b.WriteByte('/')
	return b.String()
}
