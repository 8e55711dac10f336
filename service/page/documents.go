package page

import (
	"net/http"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
)

// documents are the parts as JSON: the answers of the RPCs that give the same.
var documents = map[string]func(*look) proto.Message{
	"broker":   func(l *look) proto.Message { return l.Broker },
	"health":   func(l *look) proto.Message { return l.Health },
	"budgets":  func(l *look) proto.Message { return &brokerv1.WatchBudgetsResponse{Budgets: l.Budgets} },
	"usage":    func(l *look) proto.Message { return l.Usage },
	"failures": func(l *look) proto.Message { return &brokerv1.ListAttemptsResponse{Items: l.Failures} },
	"drift":    func(l *look) proto.Message { return &brokerv1.ListDriftResponse{Items: l.Drift} },
	"holds":    func(l *look) proto.Message { return &brokerv1.ListHoldsResponse{Items: l.Broker.GetHolds()} },
}

// document answers with a part as JSON.
func (p *Page) document(of func(*look) proto.Message) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		text, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(of(p.look()))
		if err != nil {
			p.log.Error("a part of the page cannot be written as JSON", "error", err)
			http.Error(w, "the part cannot be written as JSON; the broker's log has the cause", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(text)
	}
}
