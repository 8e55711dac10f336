package rest_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// raw sends bytes on a connection of its own, and gives the answers until the other
// side closes it, or has said wanted of them.
func (f *face) raw(t *testing.T, text string, wanted int) (answers []*http.Response, bodies []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	go func() { _, _ = io.WriteString(conn, text) }() // the other side may stop reading
	from := bufio.NewReader(conn)
	for len(answers) < wanted {
		resp, err := http.ReadResponse(from, nil)
		if err != nil {
			break // closed, with or without a reset
		}
		body, _ := io.ReadAll(resp.Body)
		answers, bodies = append(answers, resp), append(bodies, string(body))
	}
	if ctx.Err() != nil {
		t.Error("the connection was left open")
	}
	return answers, bodies
}

// refusedInForm checks that an answer is a 4xx that says why, as the vendor would.
func refusedInForm(t *testing.T, what string, resp *http.Response, body string) {
	t.Helper()
	if resp.StatusCode < 401 || resp.StatusCode >= 500 || resp.StatusCode == 404 {
		t.Errorf("%s: %d", what, resp.StatusCode)
	}
	var e struct{ Errors []string }
	if json.Unmarshal([]byte(body), &e) != nil || len(e.Errors) == 0 || resp.Header.Get("Meraki-Broker-Reason") == "" || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s: %d in no form of the vendor's: %v %s", what, resp.StatusCode, resp.Header, body)
	}
}

// TestRequestsThatAreNone: what is malformed ends in a 4xx or a closed connection,
// and nothing leaves.
func TestRequestsThatAreNone(t *testing.T) {
	f := newFace(t, setup{})
	host := strings.TrimPrefix(f.url, "http://")
	const get, post = "GET /api/v1/organizations HTTP/1.1\r\nHost: HOST\r\n", "POST /api/v1/organizations HTTP/1.1\r\nHost: HOST\r\n"
	large := strings.Repeat("x", 5<<20)
	for name, text := range map[string]string{
		"two lengths":               post + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
		"two lengths in one":        post + "Content-Length: 2, 3\r\n\r\n{}",
		"a length with a sign":      post + "Content-Length: +2\r\n\r\n{}",
		"a negative length":         post + "Content-Length: -2\r\n\r\n{}",
		"a hexadecimal length":      post + "Content-Length: 0x2\r\n\r\n{}",
		"a length beyond any":       post + "Content-Length: 99999999999999999999\r\n\r\n{}",
		"an empty length":           post + "Content-Length: \r\n\r\n{}",
		"a length and chunks":       post + "Content-Length: 2\r\nTransfer-Encoding: gzip, chunked\r\n\r\n{}",
		"chunks of another kind":    post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"chunks of a spelling":      post + "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n",
		"chunks with lines alone":   post + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\n{}\n0\n\n",
		"chunks twice":              post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunks after a name":       post + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
		"a chunk without a length":  post + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
		"a chunk with a huge one":   post + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nfffffffffffffffff\r\n{}\r\n0\r\n\r\n",
		"a chunk that is longer":    post + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
		"a folded first header":     "GET /api/v1/organizations HTTP/1.1\r\n folded: x\r\nHost: HOST\r\n\r\n",
		"a folded host":             "GET /api/v1/organizations HTTP/1.1\r\nHost: HOST\r\n folded: x\r\n\r\n",
		"no host":                   "GET /api/v1/organizations HTTP/1.1\r\n\r\n",
		"two hosts":                 get + "Host: evil\r\n\r\n",
		"a host with a path":        "GET /api/v1/organizations HTTP/1.1\r\nHost: HOST/x\r\n\r\n",
		"a header without a colon":  get + "nothing\r\n\r\n",
		"a header name with spaces": get + "X Y: z\r\n\r\n",
		"a zero in a header":        get + "X: a\x00b\r\n\r\n",
		"a return in a header":      get + "X: a\rTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/0.9":                  "GET /api/v1/organizations\r\n\r\n",
		"HTTP/3.0":                  "GET /api/v1/organizations HTTP/3.0\r\nHost: HOST\r\n\r\n",
		"a tab in the request line": "GET\t/api/v1/organizations HTTP/1.1\r\nHost: HOST\r\n\r\n",
		"two spaces in it":          "GET  /api/v1/organizations HTTP/1.1\r\nHost: HOST\r\n\r\n",
		"a space in the target":     "GET /api/v1/organizations x HTTP/1.1\r\nHost: HOST\r\n\r\n",
		"an escape that is none":    "GET /api/v1/organizations/%zz HTTP/1.1\r\nHost: HOST\r\n\r\n",
		"half an escape":            "GET /api/v1/organizations/% HTTP/1.1\r\nHost: HOST\r\n\r\n",
		"a zero in the target":      "GET /api/v1/organizations?x=\x00 HTTP/1.1\r\nHost: HOST\r\n\r\n",
		"no target":                 "GET  HTTP/1.1\r\nHost: HOST\r\n\r\n",
		"no method":                 " /api/v1/organizations HTTP/1.1\r\nHost: HOST\r\n\r\n",
		"a byte above ASCII in it":  "GET /api/v1/\xc3\xb6rganizations HTTP/1.1\r\nHost: HOST\r\n\r\n",
		"another host's address":    "GET http://evil/api/v1/organizations HTTP/1.1\r\nHost: evil2\r\n\r\n",
		"another host's, encrypted": "GET https://evil:443/api/v1/organizations HTTP/1.1\r\nHost: HOST\r\n\r\n",
		"an address with a user":    "GET http://HOST@evil/api/v1/organizations HTTP/1.1\r\nHost: HOST\r\n\r\n",
		"another scheme's address":  "GET ftp://HOST/api/v1/organizations HTTP/1.1\r\nHost: HOST\r\n\r\n",
		"an address without scheme": "GET //evil/api/v1/organizations HTTP/1.1\r\nHost: HOST\r\n\r\n",
		"CONNECT":                   "CONNECT evil:443 HTTP/1.1\r\nHost: evil:443\r\n\r\n",
		"CONNECT to here":           "CONNECT HOST HTTP/1.1\r\nHost: HOST\r\n\r\n",
		"OPTIONS of all":            "OPTIONS * HTTP/1.1\r\nHost: HOST\r\n\r\n",
		"TRACE":                     "TRACE /api/v1/organizations HTTP/1.1\r\nHost: HOST\r\n\r\n",
		"HEAD":                      "HEAD /api/v1/organizations HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n",
		"a method in small letters": "get /api/v1/organizations HTTP/1.1\r\nHost: HOST\r\n\r\n",
		"an upgrade":                get + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		"an upgrade to HTTP/2":      get + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
		"an upgrade, said twice":    get + "Connection: Upgrade\r\nUpgrade: \r\nUpgrade: websocket\r\n\r\n",
		"two names of a write":      post + "Idempotency-Key: a\r\nIdempotency-Key: b\r\nContent-Length: 2\r\n\r\n{}",
		"two credentials":           get + "Authorization: Bearer a\r\nX-Cisco-Meraki-API-Key: b\r\n\r\n",
		"an expectation":            post + "Expect: 200-ok\r\nContent-Length: 2\r\n\r\n{}",
		"a GET with a body":         get + "Content-Length: 2\r\n\r\n{}",
		"an encoded body":           post + "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
		"encoded, said twice":       post + "Content-Encoding: identity\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
		"a body encoded otherwise":  post + "Content-Encoding: identity, br\r\nContent-Length: 2\r\n\r\n{}",
		"a flood of headers":        get + "X: " + strings.Repeat("x", 64<<10) + "\r\n\r\n",
		"a flood of small headers":  get + strings.Repeat("X: x\r\n", 10_000) + "\r\n",
		"a long target":             "GET /api/v1/organizations?x=" + strings.Repeat("x", 17<<10) + " HTTP/1.1\r\nHost: HOST\r\n\r\n",
		"a large body":              post + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(large), large),
		"a large body to come":      post + "Expect: 100-continue\r\nContent-Length: 9223372036854775807\r\n\r\n",
		"a large body in chunks":    post + fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(large), large),
	} {
		answers, bodies := f.raw(t, strings.ReplaceAll(text, "HOST", host), 1)
		if len(answers) > 0 && name != "HEAD" {
			refusedInForm(t, name, answers[0], bodies[0])
		}
		for named, status := range map[string]int{"a large body": 413, "a large body to come": 413, "a large body in chunks": 413, "chunks with lines alone": 403, "a flood of headers": 431, "a flood of small headers": 431} {
			if name == named && (len(answers) == 0 || answers[0].StatusCode != status) {
				t.Errorf("%s: %v", name, answers)
			}
		}
		if n := len(f.requests()); n != 0 {
			t.Errorf("%s: %d requests left", name, n)
		}
	}
}

// TestNothingIsSmuggled: of what may be read in two ways one reading counts, and what
// the other would take for a second request is none. net/http reads a few of these;
// then the connection ends with the answer.
func TestNothingIsSmuggled(t *testing.T) {
	f := newFace(t, setup{})
	host := strings.TrimPrefix(f.url, "http://")
	second := "DELETE /api/v1/networks/" + f.sandbox.NetworkID(0, 0) + " HTTP/1.1\r\nHost: HOST\r\nX: "
	inside := second + "x\r\n\r\n"
	path := "/api/v1/organizations/" + f.sandbox.OrganizationID(0) + "/networks"
	post := "POST " + path + " HTTP/1.1\r\nHost: HOST\r\n"
	for name, text := range map[string]string{
		"a length that covers the second": post + fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n%s", 5+len(inside), inside),
		"chunks that cover the second":    post + fmt.Sprintf("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(inside), inside),
		"chunks behind a bare line feed":  post + fmt.Sprintf("Content-Length: %d\r\nX: x\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n%s", 5+len(inside), inside),
		"chunks behind a fold":            post + fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n%s", 5+len(inside), inside),
		"chunks after another coding":     post + fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n%s", 5+len(inside), inside),
		"the body of a GET":               "GET " + path + fmt.Sprintf(" HTTP/1.1\r\nHost: HOST\r\nContent-Length: %d\r\n\r\n%s", len(inside), inside),
		"a body that is refused":          post + fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(inside), inside),
		"chunks in HTTP/1.0":              strings.ReplaceAll(post, "/1.1", "/1.0") + "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + inside,
		"a trailer":                       post + "Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\nContent-Length: 5\r\n\r\n" + inside,
		"a chunk extension":               post + "Transfer-Encoding: chunked\r\n\r\n0;x=\"\r\n\r\n" + inside,
		"a target with a line in it":      "GET " + path + "%20HTTP/1.1%0d%0aX:%20 HTTP/1.1\r\nHost: HOST\r\n\r\n",
		"an expectation of its body":      post + fmt.Sprintf("Expect: 100-continue\r\nContent-Length: %d\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n%s", len(inside), inside),
	} {
		closed := strings.Contains(text, "chunked")
		wanted := 1
		if closed {
			wanted = 9 // so that raw waits for the end of the connection
		}
		// Lengths were counted with HOST in the place of the host: of the same length.
		text = strings.ReplaceAll(text, "HOST", (host + strings.Repeat(" ", 4))[:4])
		answers, _ := f.raw(t, text, wanted)
		if closed && len(answers) > 1 {
			t.Errorf("%s: %d answers", name, len(answers))
		}
		for _, r := range f.requests() {
			if r.Method == http.MethodDelete || r.Header.Get("X") != "" {
				t.Errorf("%s: %s %s has left", name, r.Method, r.URL)
			}
		}
	}
}

// TestOneReading: what net/http reads although it is not quite right is written anew:
// the Dashboard sees none of it.
func TestOneReading(t *testing.T) {
	f := newFace(t, setup{})
	host := strings.TrimPrefix(f.url, "http://")
	for name, text := range map[string]string{
		"bare line feeds":  "GET /api/v1/organizations HTTP/1.1\nHost: " + host + "\nX-A: a\n\n",
		"a folded header":  "GET /api/v1/organizations HTTP/1.1\r\nHost: " + host + "\r\nX-A: a\r\n b: c\r\n\r\n",
		"an own address":   "GET http://api.meraki.com/api/v1/organizations HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
		"an empty line":    "\r\nGET /api/v1/organizations HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
		"headers to relay": "GET /api/v1/organizations HTTP/1.1\r\nHost: " + host + "\r\nConnection: X-A\r\nX-A: a\r\nX-HTTP-Method-Override: DELETE\r\nX-Original-URL: /x\r\n\r\n",
	} {
		answers, _ := f.raw(t, text, 1)
		arrived := f.requests()
		if len(answers) != 1 || answers[0].StatusCode != 200 && answers[0].StatusCode != 403 {
			t.Errorf("%s: %v", name, answers)
			continue
		}
		if answers[0].StatusCode == 403 { // net/http does not read it
			continue
		}
		if len(arrived) != 1 || arrived[0].Method != "GET" || arrived[0].RequestURI != "/api/v1/organizations" {
			t.Errorf("%s: %v", name, arrived)
			continue
		}
		for header := range arrived[0].Header {
			switch header {
			case "Authorization", "User-Agent", "Accept", "Accept-Encoding", "Content-Type":
			default:
				t.Errorf("%s: the header %s has come through", name, header)
			}
		}
	}
}

// TestTheBoundOfBodies is what the configuration says.
func TestTheBoundOfBodies(t *testing.T) {
	f := newFace(t, setup{maxBytes: 100})
	path := "/api/v1/organizations/" + f.sandbox.OrganizationID(0)
	for length, want := range map[int]int{100: 200, 101: 413} {
		resp, body := f.ask(t, "PUT", path, `{"name":"`+strings.Repeat("n", length-11)+`"}`)
		if resp.StatusCode != want {
			t.Errorf("%d bytes: %d %s", length, resp.StatusCode, body)
		}
	}
	if n := len(f.requests()); n != 1 {
		t.Errorf("%d requests left", n)
	}
}

// TestAfterABodyThatIsTooLarge: its answer says that the connection ends, or the next
// request there is answered.
func TestAfterABodyThatIsTooLarge(t *testing.T) {
	f := newFace(t, setup{maxBytes: 100})
	for _, length := range []int{101, 200, 201, 5000, 400_000} {
		c := f.dial(t)
		from := bufio.NewReader(c)
		for n, body := range []string{strings.Repeat(" ", length), `{"name":"n"}`} {
			request := fmt.Sprintf("PUT /api/v1/organizations/%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", f.sandbox.OrganizationID(0), len(body), body)
			go func() { _, _ = io.WriteString(c, request) }() // the other side may stop reading
			resp, err := http.ReadResponse(from, nil)
			if err != nil {
				t.Fatalf("%d bytes, answer %d: %v", length, n, err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			if want := []int{http.StatusRequestEntityTooLarge, http.StatusOK}[n]; resp.StatusCode != want {
				t.Errorf("%d bytes, answer %d: %d", length, n, resp.StatusCode)
			}
			if resp.Close {
				break
			}
		}
		_ = c.Close()
	}
}

// TestCompressedBodies are refused, whatever they would become.
func TestCompressedBodies(t *testing.T) {
	f := newFace(t, setup{})
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	_, _ = w.Write(make([]byte, 64<<20))
	_ = w.Close()
	for _, coding := range []string{"gzip", "GZIP", "x-gzip", "deflate", "br", "zstd", "gzip, gzip", "identity, gzip"} {
		resp, body := f.ask(t, "POST", "/api/v1/organizations", bomb.String(), "Content-Encoding", coding)
		if resp.StatusCode != 403 {
			t.Errorf("%s: %d %s", coding, resp.StatusCode, body)
		}
		refusedInForm(t, coding, resp, body)
	}
	if n := len(f.requests()); n != 0 {
		t.Errorf("%d requests left", n)
	}
}

// TestOtherSpellingsLeadNowhere: whatever way another organization's path is written,
// a caller that may not have it is refused in the vendor's form, and nothing leaves.
func TestOtherSpellingsLeadNowhere(t *testing.T) {
	all := []identity.Grant{{Section: "*", Verbs: []string{"read", "write"}}, {RPC: "Call", Verbs: []string{"read", "write"}}}
	f := newFace(t, setup{
		sandbox:  sandbox.Options{Organizations: 2},
		identity: identity.Config{Path: &identity.ProxyConfig{Trusted: []string{"127.0.0.0/8"}}},
		rules: identity.Rules{
			{Name: "one", Callers: []string{"as:one"}, Operations: all, Organizations: []string{"2930418", "none"}},
			{Name: "two", Callers: []string{"as:two"}, Operations: all, Organizations: []string{"*"}},
		},
	})
	host := strings.TrimPrefix(f.url, "http://")
	other, network, serial := f.sandbox.OrganizationID(1), f.sandbox.NetworkID(1, 0), f.sandbox.Serial(1, 0, 0)
	for _, path := range []string{
		"/as/one/api/v1/%6frganizations/" + other, "/as/one/api/v1/Organizations/" + other, "/as/one/api/v1/ORGANIZATIONS/" + other + "/networks",
		"/as/one/api/v1/%6eetworks/" + network, "/as/one/api/v1/%64evices/" + serial, "/as/one/api/v1/%2564evices/" + serial,
		"/as/one/api/v1/foo/organizations/" + other, "/as/one/api/v1/foo/..%2forganizations/" + other, "/as/one/api/v1/organizations/2930418/..%2f" + other,
		"/as/one/api/v1/organizations/2930418%2f..%2f" + other, "/as/one/api/v1/organizations/2930418/../" + other, "/as/one/api/v1/organizations/2930418/%2e%2e/" + other,
		"/as/one/api/v1/organizations/2930418/.%2e/" + other, "/as/one/api/v1/organizations/2930418;/../" + other, "/as/one/api/v1//organizations/" + other,
		"/as/one/api/v1/organizations//" + other, "/as/one/api/v1/./organizations/" + other, "/as/one/api/v1/organizations%2f" + other,
		"/as/one/api/v1/organizations%252f" + other, "/as/one/api/v1/organizations%5c" + other, "/as/one/api/v1/organizations\\" + other,
		"/as/one/api/v1/organizations/" + other + ".json", "/as/one/api/v1/organizations/0" + other, "/as/one/api/v1/organizations/" + other + "%20",
		"/as/one/api/v1/organizations/" + other + "%00", "/as/one/api/v1/organizations/" + other + "%3fx", "/as/one/api/v1/organizations/" + other + "%23",
		"/as/one/api/v1/organizations/" + other + "#x", "/as/one/api/v1/%c0%aforganizations/" + other, "/as/one/api/v1/organizations%ef%bc%8f" + other,
		"/as/one/api/v1/organizations/%" + other, "/as/one/api/v1/organizations/%zz" + other, "/as/one/api/v1/api/v1/organizations/" + other,
		"/as/one/api/v1/administered/organizations/" + other,
		// The prefix of another caller, by every door.
		"/as/one/../two/api/v1/organizations/" + other, "/as/one%2f..%2ftwo/api/v1/organizations/" + other, "/as/one/as/two/api/v1/organizations/" + other,
		"/as/one/api/v1/../../../two/api/v1/organizations/" + other, "/as/one/api/v1/as/two/api/v1/organizations/" + other,
		"/as/one/api/v1http://" + host + "/as/two/api/v1/organizations/" + other, "/as/one/api/v1http:/" + host + "/as/two/api/v1/organizations/" + other,
		"/as/one/api/v1http%3A//" + host + "/as/two/api/v1/organizations/" + other, "/as/one/api/v1http://evil/api/v1/organizations/" + other,
		"/as/one/api/v1http://" + host + "/api/v1/organizations/" + other, "/AS/two/api/v1/organizations/" + other, "/%61s/two/api/v1/organizations/" + other,
		"//as/two/api/v1/organizations/" + other, "/as//two/api/v1/organizations/" + other, "/as/TWO/api/v1/organizations/" + other, "/as/two /api/v1/organizations/" + other,
	} {
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			answers, bodies := f.raw(t, method+" "+path+" HTTP/1.1\r\nHost: "+host+"\r\n\r\n", 1)
			if len(answers) == 0 {
				continue
			}
			refusedInForm(t, method+" "+path, answers[0], bodies[0])
		}
	}
	for _, r := range f.requests() {
		if r.URL.Path != "/api/v1/networks/"+network && r.URL.Path != "/api/v1/devices/"+serial || r.Method != "GET" { // look-ups of the owner
			t.Errorf("%s %s has left", r.Method, r.URL)
		}
	}
	if resp, body := f.ask(t, "GET", "/as/two/api/v1/organizations/"+other, ""); resp.StatusCode != 200 {
		t.Errorf("who may have it: %d %s", resp.StatusCode, body)
	}
}

// TestAnotherCallersPrefix: a token counts for its own prefix alone, and a prefix only
// from addresses that may.
func TestAnotherCallersPrefix(t *testing.T) {
	f := newFace(t, setup{
		identity: identity.Config{Path: &identity.ProxyConfig{Trusted: []string{"203.0.113.0/24"}}},
		rules:    identity.Rules{{Name: "all", Callers: []string{"*"}, Operations: []identity.Grant{{Section: "*", Verbs: []string{"read"}}}, Organizations: []string{"*"}}},
	})
	for _, headers := range [][]string{
		nil, {"X-Forwarded-For", "203.0.113.9"}, {"X-Real-IP", "203.0.113.9"}, {"Forwarded", "for=203.0.113.9"}, {"Authorization", "Bearer " + clientsKey},
	} {
		resp, body := f.ask(t, "GET", "/as/one/api/v1/organizations", "", headers...)
		if resp.StatusCode != 403 {
			t.Errorf("%v: %d", headers, resp.StatusCode)
		}
		refusedInForm(t, fmt.Sprint(headers), resp, body)
	}
	if n := len(f.requests()); n != 0 {
		t.Errorf("%d requests left", n)
	}
}
