// Package dashboard makes one HTTP attempt at the Dashboard: send, bound,
// classify. It never sleeps, never retries and never follows a redirect by
// itself: what an attempt means for the call is the judge's business, and every
// further request has to pay for a slot of its own first. For the same reason it
// keeps net/http from repeating a request behind our back, where it uses it: an
// attempt over HTTP/1.1 has a connection to itself, on which nobody else writes or
// reads; HTTP/2, proxies and large bodies are net/http's.
//
// Whatever comes back is bounded in size and in time, and the key goes to the
// vendor's hosts and to the configured one, and nowhere else.
package dashboard
