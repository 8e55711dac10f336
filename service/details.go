package service

import (
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/fault"
)

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

// detailsOf says everything there is to say about a fault; fit cuts it to size.
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
	if operationID == "" {
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
