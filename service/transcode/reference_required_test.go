package transcode

import (
	"slices"
	"strings"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// refRequired wants the lists that the operation requires, wherever what is around
// them is there.
func refRequired(op *apiv1.Operation, body any) (err error) {
	if _, isList := body.([]any); isList != (op.GetRequestField() != "") {
		return nil // not the body that is described
	}
	for _, path := range op.GetRequiredLists() {
		var steps []string
		for step := range strings.SplitSeq(path, ".") {
			name, isList := strings.CutSuffix(step, "[]")
			steps = append(steps, name)
			if isList {
				steps = append(steps, "[]")
			}
		}
		if steps[0] == "" {
			steps = steps[1:]
		}
		if !refHas(body, steps) {
			return &refError{"nothing at " + path}
		}
	}
	return nil
}

func refHas(value any, steps []string) bool {
	if kept, is := value.(extra); is {
		value = kept.value
	}
	list, isList := value.([]any)
	object, isObject := value.(map[string]any)
	switch {
	case len(steps) == 0:
		return true
	case isList && steps[0] == "[]":
		return !slices.ContainsFunc(list, func(v any) bool { return !refHas(v, steps[1:]) })
	case isObject && steps[0] == "*":
		for _, v := range object {
			if !refHas(v, steps[1:]) {
				return false
			}
		}
	case isObject && steps[0] != "[]": // an object for a list is sent as it came
		v, there := object[steps[0]]
		return there && refHas(v, steps[1:]) || !there && len(steps) > 1
	}
	return true
}
