package sandbox

import (
	"slices"
	"strings"
)

// Pages that the proxy in front of the Dashboard sends, or its web site.
const (
	htmlTooMany = "<html>\r\n<head><title>429 Too Many Requests</title></head>\r\n<body>\r\n<center><h1>429 Too Many Requests</h1></center>\r\n" +
		"<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
	htmlNotFound = "<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\" \"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n" +
		"<html xmlns=\"http://www.w3.org/1999/xhtml\">\n<head><title>Page not found</title></head>\n<body><h1>This page does not exist.</h1></body>\n</html>\n"
)

// A bodyShape is a body that an answer carries in place of its own.
type bodyShape struct {
	name, ctype string
	text        func(status string) string
}

func says(text string) func(string) string { return func(string) string { return text } }

// bodies are the shapes of error bodies, those seen in the wild and those that a
// client has to survive anyway. The text gets the status in words.
var bodies = []bodyShape{
	{"errors", "", func(s string) string { return `{"errors":["` + s + `","a second message"]}` }},
	{"errors-empty", "", says(`{"errors":[]}`)},
	{"errors-object", "", says(`{"errors":{"name":["is too long","is not free"],"vlan":["is unknown"]}}`)},
	{"errors-objects", "", says(`{"errors":[{"serial":"Q2XX-XXXX-XXXX","errors":["Device already claimed"]},{"message":"Something else"}]}`)},
	{"errors-string", "", func(s string) string { return `{"errors":"` + s + `"}` }},
	{"error", "", func(s string) string { return `{"error":"` + s + `"}` }},
	{"error-description", "", func(s string) string { return `{"error":"invalid_request","error_description":"` + s + `"}` }},
	{"message", "", func(s string) string { return `{"message":"` + s + `"}` }},
	{"string", "", func(s string) string { return `"` + s + `"` }},
	{"null", "", says("null")},
	{"number", "", says("42")},
	{"html", "text/html", func(s string) string {
		return "<html>\r\n<head><title>" + s + "</title></head>\r\n<body>\r\n<center><h1>" + s + "</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
	}},
	{"html-page", "text/html; charset=utf-8", func(string) string {
		return htmlNotFound + "<!--" + strings.Repeat(" nothing to see ", 330) + "-->\n"
	}},
	{"text", "text/plain", func(s string) string { return s + "\n" }},
	{"space", "text/html; charset=utf-8", says(" ")},
	{"empty", "", says("")},
	{"wrong-type", "text/html; charset=utf-8", func(s string) string { return `{"errors":["` + s + `"]}` }},
	{"no-type", "-", func(s string) string { return `{"errors":["` + s + `"]}` }},
	{"broken", "", says(`{"errors":["an end that never co`)},
	{"long", "", func(s string) string { return `{"errors":["` + strings.Repeat(s+" \u00e9\u4e16 ", 4000) + `"]}` }},
	{"many", "", func(s string) string {
		return `{"errors":[` + strings.Repeat(`"`+s+`",`, 2000) + `"the last"]}`
	}},
	{"api-disabled", "", says(`{"errors":["` + saysDisabled + `"]}`)},
	{"batches", "", says(`{"errors":["` + saysBatches + `"]}`)},
	{"concurrent", "", says(`{"errors":["This may be due to concurrent requests to delete networks."]}`)},
}

// BodyShapes names the shapes of bodies that a fault may have.
func BodyShapes() []string {
	out := make([]string, len(bodies))
	for i, b := range bodies {
		out[i] = b.name
	}
	return out
}

func bodyNamed(name string) *bodyShape {
	i := slices.IndexFunc(bodies, func(b bodyShape) bool { return b.name == name })
	if i < 0 {
		return nil
	}
	return &bodies[i]
}
