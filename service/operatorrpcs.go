package service

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/hold"
	"github.com/merakibroker/merakibroker/service/identity"
)

// An Operator is what whoever operates the broker may do, on the operator's port: the
// RPCs of OperatorService and the page's actions go through the same methods.
type Operator struct {
	Server *Server
	Holds  *hold.Holds
	// Operators are whose tokens let act; nil for nobody's.
	Operators *identity.Operators
	Log       *slog.Logger
	// Version and Revision are of this program, Start is when it began, and Upstream is
	// the Dashboard's base address.
	Version, Revision, Upstream string
	Start                       time.Time
	// Store tells how the shared store is, and Keys how those of the Dashboard are; nil
	// where there is none.
	Store func() *brokerv1.StoreState
	Keys  func() []*brokerv1.KeyState

	refused fault.LogSample
}

// authorize gives the name of the operator whose token was presented. what is what was
// to be done, for the log. The error is a *fault.Error.
func (o *Operator) authorize(what, token string) (string, error) {
	if o.Operators == nil {
		return "", &fault.Error{Kind: fault.CallerNotAllowed, Reason: "READ_ONLY",
			Detail: "the operator's port only reads here: operators_file of the configuration is not set, so that there is no token to act with"}
	}
	name, ok := o.Operators.Name(token)
	if !ok {
		if write, skipped := o.refused.Admits(fault.CallerUnknown, time.Now()); write {
			o.Log.Warn("an action was refused: not an operator's token", "action", what, "skipped_before", skipped)
		}
		return "", &fault.Error{Kind: fault.CallerUnknown, Reason: "OPERATOR_UNKNOWN",
			Detail: "the token is missing or is none of operators_file: send authorization: Bearer TOKEN, made with merakid -new-token NAME"}
	}
	return name, nil
}

// Hold begins a hold. The error is a *fault.Error.
func (o *Operator) Hold(ctx context.Context, token string, in *brokerv1.HoldRequest) (*brokerv1.HoldState, error) {
	name, err := o.authorize("hold", token)
	if err != nil {
		return nil, err
	}
	if err := in.GetDuration().CheckValid(); err != nil {
		return nil, fault.Bad("duration", "duration is missing or none: say how long the hold lasts")
	}
	h, err := o.Holds.Place(ctx, time.Now(), hold.Hold{
		Scope: scopeOf(in.GetScope()), Name: in.GetName(), Reason: in.GetReason(), Operator: name,
	}, in.GetDuration().AsDuration())
	if err != nil {
		return nil, err
	}
	return holdMessage(&h), nil
}

// Release ends a hold. The error is a *fault.Error.
func (o *Operator) Release(ctx context.Context, token string, in *brokerv1.ReleaseRequest) (*brokerv1.HoldState, error) {
	name, err := o.authorize("release", token)
	if err != nil {
		return nil, err
	}
	h, err := o.Holds.Release(ctx, time.Now(), scopeOf(in.GetScope()), in.GetName(), name)
	if err != nil {
		return nil, err
	}
	return holdMessage(&h), nil
}

// List gives the holds that last.
func (o *Operator) List() *brokerv1.ListHoldsResponse {
	out := new(brokerv1.ListHoldsResponse)
	for _, h := range o.Holds.List(time.Now()) {
		out.Items = append(out.Items, holdMessage(&h))
	}
	return out
}

// scopeOf is a scope as holds know it; none for what they do not know.
func scopeOf(s brokerv1.HoldScope) hold.Scope {
	if s < 0 || s > brokerv1.HoldScope_HOLD_SCOPE_ALL_WRITES {
		return 0
	}
	return hold.Scope(s)
}

func holdMessage(h *hold.Hold) *brokerv1.HoldState {
	return &brokerv1.HoldState{
		Scope: brokerv1.HoldScope(h.Scope), Name: h.Name, Reason: h.Reason, Operator: h.Operator,
		StartTime: timestamppb.New(h.Start), EndTime: timestamppb.New(h.End),
	}
}

// Register serves OperatorService on g, which is the server of the operator's port.
func (o *Operator) Register(g grpc.ServiceRegistrar) {
	brokerv1.RegisterOperatorServiceServer(g, operatorService{operator: o})
}

// An operatorService serves OperatorService, without the chain of the callers' port.
type operatorService struct {
	brokerv1.UnimplementedOperatorServiceServer
	operator *Operator
}

func (s operatorService) Hold(ctx context.Context, in *brokerv1.HoldRequest) (*brokerv1.HoldState, error) {
	return operatorAnswer(s.operator.Hold(ctx, bearer(ctx), in))
}

func (s operatorService) Release(ctx context.Context, in *brokerv1.ReleaseRequest) (*brokerv1.HoldState, error) {
	return operatorAnswer(s.operator.Release(ctx, bearer(ctx), in))
}

func (s operatorService) DescribeBroker(context.Context, *brokerv1.DescribeBrokerRequest) (*brokerv1.BrokerDescription, error) {
	return s.operator.Describe(), nil
}

func (s operatorService) ListHolds(context.Context, *brokerv1.ListHoldsRequest) (*brokerv1.ListHoldsResponse, error) {
	return s.operator.List(), nil
}

// operatorAnswer turns a fault into a status.
func operatorAnswer(out *brokerv1.HoldState, err error) (*brokerv1.HoldState, error) {
	if f := fault.As(err); f != nil {
		return nil, statusOf(f)
	}
	return out, err
}

// bearer is the token of a call's metadata; empty when there is none, or more than one.
func bearer(ctx context.Context) string {
	sent := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(sent) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(sent[0], " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
