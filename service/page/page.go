// Package page is what an operator sees in a browser: what runs, who spends the budgets,
// who waits, what failed and what to do, and the few things that an operator may do. It
// is on the operator's port, at /.
//
// The parts are rendered here and kept current by one stream of events; without the
// script the page is the same, and is loaded anew every few seconds. Every part is there
// as JSON, too.
package page

import (
	"bytes"
	"context"
	"embed"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
)

// A Source is what the page shows and does. *service.Operator is the one that ships.
type Source interface {
	Describe() *brokerv1.BrokerDescription
	Budgets() []*brokerv1.Budget
	Health() *brokerv1.UpstreamHealth
	// Failures gives the latest attempts that did not end well.
	Failures(most int) []*brokerv1.Attempt
	Drift() []*brokerv1.Drift
	// Usage tells who spent what in the last hour, those who spent the most first.
	Usage(most int) *brokerv1.GetUsageResponse
	// Recent counts the attempts of an organization, one count for each ten seconds of
	// the last five minutes; nil where there was none.
	Recent(organization string) []int64
	// Ending is closed when the drain begins.
	Ending() <-chan struct{}
	// Hold and Release act, with an operator's token. The error is a *fault.Error.
	Hold(ctx context.Context, token string, in *brokerv1.HoldRequest) (*brokerv1.HoldState, error)
	Release(ctx context.Context, token string, in *brokerv1.ReleaseRequest) (*brokerv1.HoldState, error)
}

//go:embed page.html page.css page.js icon.svg
var files embed.FS

// A Page answers a browser.
type Page struct {
	source  Source
	log     *slog.Logger
	handler http.Handler
	pages   *template.Template
	readers chan struct{} // one place for each stream of events
	unread  time.Duration // see mostUnread
	longest time.Duration // see longestStream

	mu     sync.Mutex
	latest *look
}

// New makes a Page.
func New(source Source, log *slog.Logger) *Page {
	p := &Page{source: source, log: log, readers: make(chan struct{}, mostReaders), unread: mostUnread, longest: longestStream}
	p.pages = template.Must(template.New("").Funcs(words).ParseFS(files, "page.html"))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.show)
	mux.HandleFunc("GET /page/events", p.events)
	for name, of := range documents {
		mux.HandleFunc("GET /page/"+name+".json", p.document(of))
	}
	for _, name := range []string{"page.css", "page.js", "icon.svg"} {
		mux.HandleFunc("GET /page/"+name, func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, name) })
	}
	mux.HandleFunc("POST /page/act", p.act)
	p.handler = http.NewCrossOriginProtection().Handler(mux)
	return p
}

// policy lets the page load nothing but its own files, and nobody frame it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// ServeHTTP answers a request.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	p.handler.ServeHTTP(w, r)
}

// show answers with the whole page.
func (p *Page) show(w http.ResponseWriter, r *http.Request) {
	p.write(w, http.StatusOK, form{Done: doneText(r.URL.Query().Get("done"))})
}

// write answers with the page, and with what became of an action.
func (p *Page) write(w http.ResponseWriter, status int, f form) {
	l := p.look()
	var out bytes.Buffer
	err := p.pages.ExecuteTemplate(&out, "page", struct {
		*look
		Form form
	}{l, f})
	if err != nil {
		p.log.Error("the page cannot be rendered", "error", err)
		http.Error(w, "the page cannot be rendered; the broker's log has the cause", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, visible(out.String()))
}

const (
	// lookAgain is how old a look may be that is shown: readers and scrapers cost no more
	// than one.
	lookAgain = 500 * time.Millisecond
	// sumAgain is the same for what is summed up over an hour or a day, or looked for
	// among all attempts on record.
	sumAgain = 3 * time.Second
)

// look gives what there is to see.
func (p *Page) look() *look {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.latest == nil || now.Sub(p.latest.Now) >= lookAgain {
		s := newSums(now, p.source, p.latest)
		p.latest = newLook(now, p.source, s)
		p.latest.render(p.pages, p.log)
	}
	return p.latest
}
