package page

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"time"
)

const (
	// mostReaders bounds the streams of events: the operator's port takes 16
	// connections, and Prometheus and probes need some.
	mostReaders = 8
	// every is how often a reader is told what has changed.
	every = time.Second
	// mostUnread is how long a reader may leave what is sent unread.
	mostUnread = 5 * time.Second
	// longestStream is how long a stream lasts; a browser comes back by itself. What
	// nobody reads stands in the system's buffers, and shows only when they are full.
	longestStream = 5 * time.Minute
)

// A changed part of the page.
type changed struct {
	Part string        `json:"part"`
	HTML template.HTML `json:"html"`
}

// events sends the parts that have changed, until the reader leaves or does not read, or
// the drain begins.
func (p *Page) events(w http.ResponseWriter, r *http.Request) {
	select {
	case p.readers <- struct{}{}:
		defer func() { <-p.readers }()
	default:
		w.Header().Set("Retry-After", "60")
		http.Error(w, fmt.Sprintf("%d readers are there already; load the page anew instead", mostReaders), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // what a proxy keeps is not live
	out := http.NewResponseController(w)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	over := time.NewTimer(p.longest)
	defer over.Stop()
	again := "retry: 500\n\n" // the first that is said: how soon the browser comes back
	sent := make(map[string]template.HTML)
	for {
		if err := out.SetWriteDeadline(time.Now().Add(p.unread)); err != nil {
			p.log.Error("the page cannot bound how long a reader does not read", "error", err)
			return
		}
		if _, err := fmt.Fprint(w, again); err != nil {
			return
		}
		again = ""
		l := p.look()
		for _, name := range partNames {
			if sent[name] == l.parts[name] {
				continue
			}
			sent[name] = l.parts[name]
			data, err := json.Marshal(changed{name, l.parts[name]})
			if err != nil {
				return
			}
			if _, err := fmt.Fprintf(w, "data: %s\n\n", data); err != nil {
				return
			}
		}
		if err := out.Flush(); err != nil {
			return
		}
		select {
		case <-ticker.C:
		case <-over.C:
			return
		case <-r.Context().Done():
			return
		case <-p.source.Ending():
			// The browser would come back at once, and to this replica.
			_, _ = fmt.Fprint(w, "event: end\ndata: this replica is about to stop\n\n")
			_ = out.Flush()
			return
		}
	}
}
