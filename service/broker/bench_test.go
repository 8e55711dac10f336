package broker

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/usage"
)

// A bareDashboard answers at once and remembers nothing.
type bareDashboard struct{ body []byte }

func (d bareDashboard) Attempt(context.Context, *dashboard.Request) *dashboard.Result {
	return &dashboard.Result{Outcome: fault.OK, Status: 200, Body: d.body, Start: time.Now(), MaybeExecuted: true}
}

// BenchmarkDo is a whole call without the Dashboard: one that teaches nothing, and
// one whose answer lists devices.
func BenchmarkDo(b *testing.B) {
	devices := []string{}
	for i := range 20 {
		devices = append(devices, fmt.Sprintf(`{"name":"My AP %d","serial":"Q234-ABCD-%04d","mac":"00:11:22:33:44:55","networkId":"N_24329156","productType":"wireless","model":"MR34","address":"1600 Pennsylvania Ave","lat":37.4180951010362,"lng":-122.098531723022,"notes":"My AP's note","tags":["recently-added"],"lanIp":"1.2.3.4","configurationUpdatedAt":"2018-02-11T00:00:00.090210Z","firmware":"wireless-25-14"}`, i, i))
	}
	for _, c := range []struct {
		name, operation, body string
		usage                 *usage.Usage
	}{
		{"plain", "getOrganization", `{"id":"1"}`, nil},
		{"plain with usage", "getOrganization", `{"id":"1"}`, usage.New(usage.Config{Callers: 50, Organizations: 50})},
		{"devices", "getOrganizationDevices", "[" + strings.Join(devices, ",") + "]", nil},
	} {
		b.Run(c.name, func(b *testing.B) {
			broker := testBroker(b, nil, func(to *Config) {
				to.Usage = c.usage
				to.Dashboard = bareDashboard{[]byte(c.body)}
				to.Budgets.Rate, to.Budgets.Burst, to.Budgets.AddressRate, to.Budgets.AddressBurst = 1e6, 1e6, 1e6, 1e6
			})
			defer broker.Close()
			call := read("1", 1)
			call.Operation = operation(c.operation, apiv1.Verb_VERB_GET, apiv1.Scope_SCOPE_ORGANIZATION)
			ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
			defer cancel()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := broker.Do(ctx, call); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
