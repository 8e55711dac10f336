package lock

import (
	"testing"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/model"
)

func TestFits(t *testing.T) {
	t.Parallel()
	one := func(k model.Kind) model.Type { return model.Type{Kind: k} }
	many := func(k model.Kind) model.Type { return model.Type{Label: model.Many, Kind: k} }
	dict := func(k model.Kind) model.Type { return model.Type{Label: model.Map, Kind: k} }
	lists := func(t model.Type) model.Type {
		return model.Type{Label: model.Many, Kind: model.Message, Object: model.Wrapper(t)}
	}
	for _, c := range []struct {
		have, want model.Type
		fit        fit
	}{
		{one(model.Int64), one(model.Int64), exact},
		{many(model.Message), many(model.Message), exact},
		{one(model.Int64), one(model.String), lenient},
		{one(model.String), one(model.Bool), lenient},
		{one(model.Int64), one(model.Double), lenient},
		{one(model.Timestamp), one(model.String), lenient},
		{one(model.Bool), one(model.String), hopeless},
		{one(model.Bool), one(model.Int64), hopeless},
		{one(model.Timestamp), one(model.Int64), hopeless},
		{one(model.String), many(model.String), hopeless},
		{one(model.String), one(model.Message), hopeless},
		{one(model.Message), one(model.Struct), lenient},
		{one(model.Struct), one(model.Message), lenient},
		{one(model.Struct), dict(model.Int64), lenient},
		{dict(model.Int64), one(model.Struct), lenient},
		{one(model.Struct), one(model.String), hopeless},
		{one(model.Struct), many(model.Message), hopeless},
		{one(model.Value), many(model.Message), lenient},
		{many(model.Struct), many(model.Message), lenient},
		{many(model.Struct), many(model.String), hopeless},
		{one(model.ListValue), many(model.String), lenient},
		{dict(model.Int64), dict(model.Message), hopeless},
		{one(model.Paths), one(model.Value), hopeless},
		{lists(many(model.Int64)), lists(many(model.Int64)), exact},
		{lists(many(model.Int64)), lists(many(model.String)), lenient},
		{lists(many(model.Int64)), lists(many(model.Message)), hopeless},
		{lists(many(model.Int64)), many(model.Message), hopeless},
		{one(model.ListValue), lists(many(model.Int64)), lenient},
	} {
		if got := fits(c.have, c.want); got != c.fit {
			t.Errorf("fits(%v, %v) = %d, want %d", c.have, c.want, got, c.fit)
		}
	}
}

func TestStands(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		have model.Type
		at   apiv1.Location
		want bool
	}{
		{model.Type{Kind: model.String}, apiv1.Location_LOCATION_PATH, true},
		{model.Type{Kind: model.Double}, apiv1.Location_LOCATION_PATH, false},
		{model.Type{Kind: model.String, Label: model.Many}, apiv1.Location_LOCATION_PATH, false},
		{model.Type{Kind: model.String, Label: model.Many}, apiv1.Location_LOCATION_QUERY, true},
		{model.Type{Kind: model.Struct}, apiv1.Location_LOCATION_QUERY, false},
		{model.Type{Kind: model.Struct}, apiv1.Location_LOCATION_BODY, true},
	} {
		if got := stands(c.have, c.at); got != c.want {
			t.Errorf("stands(%v, %v) = %v", c.have, c.at, got)
		}
	}
}
