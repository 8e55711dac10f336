package dashboard

import (
	"bytes"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/merakibroker/merakibroker/service/fault"
)

var epoch = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)

// Every row of the vendor's page of errors, and the statuses around it.
func TestStatuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		want   fault.Outcome
		maybe  bool
	}{
		{101, fault.Garbled, true},
		{200, fault.OK, true}, {201, fault.OK, true}, {204, fault.OK, true}, {207, fault.OK, true},
		{301, fault.Redirect, false}, {302, fault.Redirect, false}, {304, fault.Redirect, false}, {308, fault.Redirect, false},
		{400, fault.Refused, false}, {401, fault.Refused, false}, {403, fault.Refused, false}, {404, fault.Refused, false},
		{405, fault.Refused, false}, {408, fault.Refused, true}, {409, fault.Refused, false}, {413, fault.Refused, false},
		{414, fault.Refused, false}, {422, fault.Refused, false}, {431, fault.Refused, false}, {499, fault.Refused, false},
		{429, fault.Limited, false},
		{500, fault.ServerError, true}, {501, fault.ServerError, false}, {505, fault.ServerError, true}, {511, fault.ServerError, true},
		{502, fault.GatewayError, true}, {503, fault.GatewayError, true}, {504, fault.GatewayError, true},
		{520, fault.GatewayError, true}, {530, fault.GatewayError, true}, {999, fault.GatewayError, true},
	} {
		r := classify(c.status, http.Header{"Retry-After": {"7"}}, nil, epoch, nil)
		if r.outcome != c.want || r.maybeExecuted != c.maybe {
			t.Errorf("%d: %v, maybe executed %t; want %v, %t", c.status, r.outcome, r.maybeExecuted, c.want, c.maybe)
		}
		if r.retryAfter != 7*time.Second || !r.hasRetryAfter {
			t.Errorf("%d: come back after %v, %t", c.status, r.retryAfter, r.hasRetryAfter)
		}
	}
}

// nginx is how a proxy's page begins.
const nginx = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"

// shapes are the bodies of errors that have been seen, and some that have not.
var shapes = []struct {
	name, body string
	want       []string
}{
	{"errors in lists of lists", `{"errors":[[[["deep"]]]]}`, []string{"deep"}},
	{"a number under a name", `{"errors":{"port":{"message":5}}}`, []string{"port: 5"}},
	{"a number without one", `{"errors":[5,"no"]}`, []string{"no"}},
	{"errors as a list", `{"errors":["VLANs are not enabled for this network"]}`, []string{"VLANs are not enabled for this network"}},
	{"several, in order", `{"errors":["c","a","b"]}`, []string{"c", "a", "b"}},
	{"errors as an object", `{"errors":{"vlan":["is too large","is odd"],"name":"is taken"}}`, []string{"vlan: is too large", "vlan: is odd", "name: is taken"}},
	{"errors as a list of objects", `{"errors":[{"serial":"Q2XX-1","errors":["Device already claimed"]}]}`, []string{"Device already claimed (serial Q2XX-1)"}},
	{"objects with message and code", `{"errors":[{"code":7,"message":"no"},{"message":"never"}]}`, []string{"no (code 7)", "never"}},
	{"errors as a string", `{"errors":"no"}`, []string{"no"}},
	{"errors null", `{"errors":null}`, nil},
	{"errors empty", `{"errors":[]}`, nil},
	{"error", `{"error":"no"}`, []string{"no"}},
	{"error as an object", `{"error":{"message":"no","code":3}}`, []string{"no (code 3)"}},
	{"OAuth", `{"error":"invalid_token","error_description":"it has expired"}`, []string{"invalid_token", "it has expired"}},
	{"message", `{"message":"no","status":404}`, []string{"no"}},
	{"message beside other things", `{"meta":{"counts":{"items":3}},"message":"no"}`, []string{"no"}},
	{"unknown members", `{"code":17,"text":"no"}`, []string{"code: 17", "text: no"}},
	{"a JSON string", `"no"`, []string{"no"}},
	{"a list at the root", `["no","never"]`, []string{"no", "never"}},
	{"an empty object", `{}`, nil},
	{"a byte order mark", "\xef\xbb\xbf{\"errors\":[\"no\"]}", []string{"no"}},
	{"HTML with a title", nginx, []string{"502 Bad Gateway"}},
	{"HTML without a title", `<!DOCTYPE html><html><head><style>p{}</style><script>if (a<b) {}</script></head><body><!-- <p>x</p> --><p>Be right&nbsp;back &amp; sorry</p></body></html>`, []string{"Be right back & sorry"}},
	{"HTML of nothing", `<html></html>`, nil},
	{"a redirect's stub", `<html><body>You are being <a href="https://n1.meraki.com/api/v1">redirected</a>.</body></html>`, []string{"You are being redirected ."}},
	{"text", "upstream connect error\nor disconnect\t/reset", []string{"upstream connect error or disconnect /reset"}},
	{"a number", "17", []string{"17"}},
	{"a space", " ", nil},
	{"nothing", "", nil},
	{"cut JSON", `{"errors":["first","second","thi`, []string{"first", "second"}},
	{"cut JSON without a message", `{"errors":["fir`, []string{`{"errors":["fir`}},
	{"broken JSON", `{"errors":["first",]}`, []string{"first"}},
	{"bytes that are no UTF-8", "{\"errors\":[\"a\xff\xfeb\"]}", []string{"a\ufffd\ufffdb"}},
	{"control characters", `{"errors":["a\u0000\u001b[31mb\u202ec\r\n d"]}`, []string{"a[31mbc d"}},
}

func TestMessages(t *testing.T) {
	t.Parallel()
	for _, s := range shapes {
		for _, kind := range []string{"application/json; charset=utf-8", "text/html", ""} {
			// The Content-Type is often wrong, and is not asked.
			r := classify(400, http.Header{"Content-Type": {kind}}, []byte(s.body), epoch, nil)
			if r.outcome != fault.Refused || !slices.Equal(r.messages, s.want) {
				t.Errorf("%s as %q: %v %q; want %q", s.name, kind, r.outcome, r.messages, s.want)
			}
		}
	}
}

func TestMessagesAreBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("äöü€", 1000)
	for name, body := range map[string]string{
		"long":     `{"errors":["` + long + `"]}`,
		"many":     `{"errors":["` + strings.Repeat(`a","`, 5000) + `"]}`,
		"deep":     strings.Repeat(`{"errors":[`, 5000) + strings.Repeat("]}", 5000),
		"deep map": strings.Repeat(`{"a":`, 10000) + "1" + strings.Repeat("}", 10000),
		"wide":     `{"errors":[` + strings.Repeat("null,", 12000) + `"x"]}`,
		"text":     long + long,
		"title":    "<title>" + long,
		"page":     "<html>" + strings.Repeat("<p>"+long, 3),
	} {
		m := messages([]byte(body), nil)
		if len(m) > maxMessages {
			t.Errorf("%s: %d messages", name, len(m))
		}
		for _, s := range m {
			if len(s) > maxMessageBytes || !utf8.ValidString(s) {
				t.Errorf("%s: a message of %d bytes, valid %t", name, len(s), utf8.ValidString(s))
			}
		}
	}
	if m := messages([]byte(`{"errors":["`+long+`"]}`), nil); len(m) != 1 || !strings.HasSuffix(m[0], "€…") && !strings.HasSuffix(m[0], "…") {
		t.Errorf("a cut message does not end with an ellipsis: %q", m)
	}
}

// Of a 2xx only the body says whether it can be used.
func TestSuccess(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		status int
		kind   string
		body   string
		want   fault.Outcome
	}{
		{"an object", 200, "application/json", `{"id":1}`, fault.OK},
		{"a list", 200, "application/json", "\n[ ]\n", fault.OK},
		{"errors on purpose", 200, "application/json", `{"serials":[],"errors":[{"serial":"Q2","errors":["Device already claimed"]}]}`, fault.OK},
		{"error on purpose", 200, "application/json", `{"error":"unreachable","message":"x"}`, fault.OK},
		{"a partial success", 207, "application/json", `{"errors":["one failed"]}`, fault.OK},
		{"a wrong Content-Type", 200, "text/html", `[1]`, fault.OK},
		{"nothing", 200, "", "", fault.OK},
		{"a space", 200, "", " ", fault.OK},
		{"no content", 204, "", "", fault.OK},
		{"no content, yet some", 204, "text/html", "<html>", fault.OK},
		{"null", 200, "", "null", fault.OK},
		{"a number", 200, "", "-1.5e3", fault.OK},
		{"a string", 200, "", `"x"`, fault.OK},
		{"a byte order mark", 200, "", "\xef\xbb\xbf{}", fault.OK},
		{"HTML", 200, "application/json", nginx, fault.Garbled},
		{"text", 200, "application/json", "not now", fault.Garbled},
		{"text that begins with a number", 200, "application/json", "502 Bad Gateway", fault.Garbled},
		{"an object that broke off", 200, "application/json", `{"items":[{"id":1},{"i`, fault.Garbled},
		{"a list that broke off", 200, "application/json", `[{"id":1},`, fault.Garbled},
		{"a brace", 200, "application/json", "{", fault.Garbled},
		{"a string that broke off", 200, "application/json", `"abc`, fault.Garbled},
	} {
		r := classify(c.status, http.Header{"Content-Type": {c.kind}}, []byte(c.body), epoch, nil)
		if r.outcome != c.want || !r.maybeExecuted {
			t.Errorf("%s: %v, maybe executed %t; want %v, true", c.name, r.outcome, r.maybeExecuted, c.want)
		}
		if c.want == fault.OK && (r.messages != nil || r.err != nil) {
			t.Errorf("%s: a success with messages %q and error %v", c.name, r.messages, r.err)
		}
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                        "",
		"3f1c9e0a-1":              "3f1c9e0a-1",
		"a b\tc\x00ü\u202e":       "abc",
		strings.Repeat("x", 1000): strings.Repeat("x", maxRequestID),
	} {
		if got := classify(500, http.Header{"X-Request-Id": {in}}, nil, epoch, nil).requestID; got != want {
			t.Errorf("%q: %q; want %q", in, got, want)
		}
	}
}

func FuzzClassify(f *testing.F) {
	for _, s := range shapes {
		f.Add(400, "application/json", "1", s.body)
		f.Add(200, "text/html", "", s.body)
	}
	f.Add(400, "", "", `{"errors":["Bearer `+secret+`"]}`)
	m := newMask(secret)
	f.Fuzz(func(t *testing.T, status int, kind, after, body string) {
		h := http.Header{"Content-Type": {kind}, "Retry-After": {after}, "X-Request-Id": {body}}
		r := classify(status, h, []byte(body), epoch, m)
		if len(r.messages) > maxMessages || len(r.requestID) > maxRequestID || r.retryAfter < 0 {
			t.Fatalf("out of bounds: %d messages, request id of %d bytes, retry after %v", len(r.messages), len(r.requestID), r.retryAfter)
		}
		for _, s := range r.messages {
			if s == "" || len(s) > maxMessageBytes || !utf8.ValidString(s) || strings.ContainsAny(s, "\x00\n\r\t") {
				t.Fatalf("message %q", s)
			}
		}
		if all := strings.Join(r.messages, "\n") + "\n" + r.requestID; m.text(all) != all {
			t.Fatalf("the secret comes back: %q, request id %q", r.messages, r.requestID)
		}
		if r.outcome == fault.NoOutcome {
			t.Fatal("no outcome")
		}
	})
}

// TestLargeAnswersAreNotReadForTheirWords: an answer that broke off, or is larger than the
// bound, costs no more than what is told of it.
func TestLargeAnswersAreNotReadForTheirWords(t *testing.T) {
	key := newMask(secret)
	for name, text := range map[string]string{"a list": "[", "an object": `{"errors":["gone wrong"],"x":"`, "HTML": "<html><title>gone wrong</title>", "text": "gone wrong "} {
		body := append([]byte(text), bytes.Repeat([]byte("a b "), 2<<20)...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r := classify(200, http.Header{}, body, epoch, key)
		runtime.ReadMemStats(&after)
		if r.outcome != fault.Garbled || text != "[" && !strings.Contains(strings.Join(r.messages, " "), "gone wrong") {
			t.Errorf("%s: %v %q", name, r.outcome, r.messages)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > uint64(len(body)) {
			t.Errorf("%s: %d bytes of memory for a body of %d", name, took, len(body))
		}
	}
}
