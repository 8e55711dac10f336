package rest

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"time"
)

// A Server is the HTTP server around a Handler.
type Server struct {
	*http.Server
	handler *Handler
}

// NewServer makes a Server, with bounds on what a client can make it hold and for how
// long: headers of 32 KiB within 10 s, an answer that is read within readTime, an idle
// connection for 2 min. HTTP/1.1, and HTTP/2 with TLS or with prior knowledge.
func NewServer(h *Handler, certificates *tls.Config, l *slog.Logger) *Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &Server{handler: h, Server: &http.Server{
		DisableGeneralOptionsHandler: true, // OPTIONS * is refused as every other method
		Handler:                      h, Protocols: &protocols, TLSConfig: certificates,
		ConnContext:       h.withConnection,
		ConnState:         watchState,
		ReadHeaderTimeout: 10 * time.Second,
		WriteTimeout:      longestCall + readTime,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 250},
		ErrorLog:          slog.NewLogLogger(l.Handler(), slog.LevelDebug),
	}}
}

// unreadTime is how long a drain waits for clients that have the rest of a request to
// send, or an answer to read, once nobody's call is at the broker.
const unreadTime = 5 * time.Second

// Drain ends the server: it takes no more requests, lets those under way end, and
// closes what is left when only clients are waited for, or when ctx ends.
func (s *Server) Drain(ctx context.Context) {
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(ctx) }()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for since := time.Now(); time.Since(since) < unreadTime; {
		select {
		case err := <-done:
			if err != nil {
				_ = s.Close()
			}
			return
		case <-look.C:
			if s.handler.working.Load() > 0 {
				since = time.Now()
			}
		}
	}
	_ = s.Close()
	<-done
}
