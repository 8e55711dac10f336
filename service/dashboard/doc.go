// Package dashboard makes one HTTP attempt at the Dashboard: send, bound,
// classify. It never sleeps, never retries and never follows a redirect by
// itself: what an attempt means for the call is the judge's business, and every
// further request has to pay for a slot of its own first.
//
// Attempts go through net/http, over HTTP/1.1. One attempt is one request: net/http
// is given nothing that it would send a second time by itself. What has been written
// to the connection says whether a request may have been executed. A kept connection
// that is over is passed over before anything is written to it.
//
// Whatever comes back is bounded in size and in time, and the key goes to the
// vendor's hosts and to the configured one, and nowhere else.
package dashboard
