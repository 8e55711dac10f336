package dashboard

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// token is a key of the other kind: an OAuth access token, whose characters look
// different in a URL and in JSON.
const token = "AbC+dEf/gHi=-._~jKlMnOpQr0123456789=="

// escaped is a text with its first characters escaped, as some write a URL.
func escaped(text string, characters int) string {
	return "%" + strings.ReplaceAll(fmt.Sprintf("% x", text[:characters]), " ", "%") + text[characters:]
}

// echoes are forms in which a secret comes back, by what they are called.
func echoes(secret string) map[string]string {
	unicode := func(s string) (out string) {
		for _, r := range s {
			out += fmt.Sprintf(`\u%04x`, r)
		}
		return out
	}
	quoted, _ := json.Marshal(secret)
	return map[string]string{
		"as it is":         secret,
		"the header":       "Authorization: Bearer " + secret,
		"in capitals":      strings.ToUpper("authorization=bearer " + secret),
		"in small letters": strings.ToLower(secret),
		"in a query":       "key=" + url.QueryEscape(secret) + "&x",
		"escaped whole":    "key=" + escaped(secret, len(secret)),
		"escaped in part":  "key=" + escaped(secret, 1),
		"escaped twice":    "key=" + strings.ReplaceAll(escaped(secret, 2), "%", "%25"),
		"broken by space":  secret[:20] + " " + secret[20:],
		"in a path":        "/" + url.PathEscape(secret) + "/x",
		"in JSON":          strings.ReplaceAll(string(quoted[1:len(quoted)-1]), "/", `\/`),
		"in JSON, escaped": unicode(secret),
		"in HTML":          html.EscapeString(secret),
		"in hexadecimal":   fmt.Sprintf("%x", secret),
		"as basic":         "Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+secret)),
		"as basic, too":    "Basic " + base64.StdEncoding.EncodeToString([]byte("me:"+secret)),
		"bearer in base64": base64.StdEncoding.EncodeToString([]byte("Bearer " + secret)),
		"base64 of URLs":   base64.RawURLEncoding.EncodeToString([]byte("x" + secret)),
		"twice":            secret + secret,
	}
}

// Whatever a server gives back of the header that it was sent, nothing of what goes
// on holds the secret: not the messages, nor the request id, the body, a page's
// link, the target of a redirect, or the text of an error.
func TestSecretsThatComeBack(t *testing.T) {
	t.Parallel()
	answer := func(status, header, body string) string {
		return fmt.Sprintf("HTTP/1.1 %s\r\n%sConnection: close\r\nContent-Length: %d\r\n\r\n%s", status, header, len(body), body)
	}
	places := map[string]func(echo string) string{
		"a message":        func(e string) string { return answer("400 No", "", `{"errors":["bad header: `+e+` was sent"]}`) },
		"a member":         func(e string) string { return answer("400 No", "", `{"errors":{"`+e+`":["is bad"]}}`) },
		"beside a message": func(e string) string { return answer("400 No", "", `{"errors":[{"errors":["no"],"by":"`+e+`"}]}`) },
		"text":             func(e string) string { return answer("502 No", "", "sent: "+e) },
		"text, far along":  func(e string) string { return answer("502 No", "", strings.Repeat(" ", 4*maxMessageBytes-12)+e) },
		"text, at the end": func(e string) string { return answer("502 No", "", strings.Repeat("x", maxMessageBytes-12)+e) },
		"HTML":             func(e string) string { return answer("502 No", "", "<html><body><p>"+e+"</p></body></html>") },
		"a title":          func(e string) string { return answer("403 No", "", "<title>"+e+"</title>") },
		"at the bound":     func(e string) string { return answer("500 No", "", `"`+strings.Repeat(" ", 64<<10-12)+e+`"`) },
		"cut JSON":         func(e string) string { return answer("400 No", "", `{"errors":["`+e) },
		"a request id":     func(e string) string { return answer("429 No", "X-Request-Id: "+e+"\r\n", "{}") },
		"a long one": func(e string) string {
			return answer("429 No", "X-Request-Id: "+strings.Repeat("x", 108)+e+"\r\n", "{}")
		},
		"a spaced one":  func(e string) string { return answer("429 No", "X-Request-Id: "+e[:10]+" "+e[10:]+"\r\n", "{}") },
		"a delay":       func(e string) string { return answer("429 No", "Retry-After: "+e+"\r\n", "{}") },
		"a redirect":    func(e string) string { return answer("302 No", "Location: /api/v1/x?key="+e+"\r\n", "") },
		"a refused one": func(e string) string { return answer("302 No", "Location: https://evil.example/"+e+"\r\n", "") },
		"a page's link": func(e string) string {
			return answer("200 OK", "Link: </api/v1/x?startingAfter="+e+">; rel=next, </api/v1/"+e+">; rel=prev\r\n", "[]")
		},
		"a success":         func(e string) string { return answer("200 OK", "", `{"headers":["`+e+`"]}`) },
		"a page for a 200":  func(e string) string { return answer("200 OK", "", "<title>"+e+"</title>") },
		"a status line":     func(e string) string { return "HTTP/" + e + " 200 OK\r\n\r\n" },
		"a status":          func(e string) string { return "HTTP/1.1 " + e + "\r\n\r\n" },
		"no HTTP":           func(e string) string { return e + "\r\n\r\n" },
		"a header's line":   func(e string) string { return "HTTP/1.1 200 OK\r\n" + e + "\r\n\r\n" },
		"a length":          func(e string) string { return "HTTP/1.1 200 OK\r\nContent-Length: " + e + "\r\n\r\n" },
		"an encoding":       func(e string) string { return "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + e + "\r\n\r\n" },
		"a chunk's length":  func(e string) string { return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + e + "\r\n" },
		"a body's encoding": func(e string) string { return answer("200 OK", "Content-Encoding: "+e+"\r\n", "{}") },
	}
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var echo atomic.Value
			c := client(t, raw(t, func(_ int, c net.Conn) { reply(c, place(echo.Load().(string))) })+"/api/v1")
			for _, s := range []string{secret, token} {
				for form, e := range echoes(s) {
					if name == "a success" && !strings.Contains(e, s) && form != "in JSON" {
						continue // what a caller asked for stays as it came, but for the secret as it is
					}
					if name == "a status" && form == "broken by space" {
						continue // net/http shows what stands before the space
					}
					echo.Store(e)
					r := get("/a")
					r.Key = NewKey(s)
					shown := shownOf(attempt(t, c, r))
					if at := strings.Index(strings.ToLower(shown), strings.ToLower(s[2:14])); at >= 0 {
						t.Errorf("%s: the answer shows %q", form, shown[max(0, at-40):min(len(shown), at+60)])
					}
					if strings.HasPrefix(form, "base") || form == "as basic" {
						if b := base64.StdEncoding.EncodeToString([]byte(s)); strings.Contains(shown, b[8:24]) {
							t.Errorf("%s: the answer shows the key in base64: %s", form, shown)
						}
					}
				}
			}
		})
	}
}

// shownOf is all of an answer that goes on.
func shownOf(a *Result) string {
	s := fmt.Sprintf("%q %q %q %v %q %q", a.Messages, a.RequestID, a.Refusal, a.Err, a.Describe(), a.Links)
	for _, l := range []*Link{a.Next, a.Prev} {
		if l != nil {
			s += fmt.Sprintf(" %+v", *l)
		}
	}
	if a.Location != nil {
		s += fmt.Sprintf(" %+v", *a.Location)
	}
	return s + string(a.Body)
}

// What is left out is said, what is not the secret stays, and a body stays JSON.
func TestRedacted(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "id-"+secret)
		if r.URL.Path == "/api/v1/error" {
			w.WriteHeader(400)
		}
		_, _ = io.WriteString(w, `{"errors":["sent: `+r.Header.Get("Authorization")+`, which is wrong"]}`)
	})
	c := client(t, s.URL+"/api/v1")
	if a := attempt(t, c, get("/error")); a.Messages[0] != "sent: Bearer [redacted], which is wrong" || a.RequestID != "id-[redacted]" {
		t.Errorf("%q, request id %q", a.Messages, a.RequestID)
	}
	if a := attempt(t, c, get("/a")); string(a.Body) != `{"errors":["sent: Bearer [redacted], which is wrong"]}` {
		t.Errorf("%s", a.Body)
	}
	// Without a key there is nothing to replace.
	if a := attempt(t, c, &Request{Method: "GET", Path: "/error"}); a.RequestID != "id-"+secret {
		t.Errorf("request id %q", a.RequestID)
	}
}

// Forms that are too short to mean anything are not looked for.
func TestShortSecrets(t *testing.T) {
	t.Parallel()
	for _, short := range []string{"", "a", "ab", "abc"} {
		if got := newMask(short).text("abcabc"); got != "abcabc" {
			t.Errorf("%q: %q", short, got)
		}
	}
	if got := newMask("abcd").text("xABCDx"); got != "x[redacted]x" {
		t.Errorf("%q", got)
	}
}

// TestSeveralFormsInOneText are all replaced, and what stands between them stays.
func TestSeveralFormsInOneText(t *testing.T) {
	t.Parallel()
	text := fmt.Sprintf("a %s b %x c %s d", token, token, base64.StdEncoding.EncodeToString([]byte("me:"+token)))
	if got := newMask(token).text(text); !strings.HasPrefix(got, "a [redacted] b [redacted] c ") || strings.Count(got, redacted) != 3 || !strings.HasSuffix(got, " d") {
		t.Errorf("%s", got)
	}
}
