package main

import "testing"

// TestRequiredListsLead: a property that is an object in the request and a map in the
// answer is a map in both; what the document requires of the object's own properties has
// no place then, and the contract can be served all the same.
func TestRequiredListsLead(t *testing.T) {
	t.Parallel()
	const list = `{"type":"object","required":["names"],"properties":{"names":{"type":"array","items":{"type":"string"}}}}`
	made := mustGenerate(t, []byte(`{"openapi":"3.0.1","info":{"version":"1.0.0"},"paths":{"/networks/{networkId}/slots":{
		"get":{"operationId":"getNetworkSlots","tags":["networks"],"parameters":[{"name":"networkId","in":"path","required":true,"schema":{"type":"string"}}],
			"responses":{"200":{"content":{"application/json":{"schema":{"type":"object","properties":{"slots":{"type":"object","additionalProperties":`+list+`},"other":`+list+`}}}}}}},
		"put":{"operationId":"updateNetworkSlots","tags":["networks"],"parameters":[{"name":"networkId","in":"path","required":true,"schema":{"type":"string"}}],
			"requestBody":{"content":{"application/json":{"schema":{"type":"object","properties":{"slots":{"type":"object","properties":{"A":`+list+`}},"other":`+list+`}}}}},
			"responses":{"200":{"content":{"application/json":{"schema":{"type":"object"}}}}}}}}}`), nil)
	files := mustCompile(t, made.files)
	for _, line := range unservable(files) {
		t.Error(line)
	}
	if lists := contractOf(t, files).Operation("updateNetworkSlots").Operation.GetRequiredLists(); len(lists) != 1 || lists[0] != "other.names" {
		t.Errorf("required are %q", lists)
	}
}
