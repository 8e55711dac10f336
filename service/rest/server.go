package rest

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"time"
)

// NewServer makes the HTTP server around a Handler, with bounds on what a client can
// make it hold and for how long: headers of 32 KiB within 10 s, an answer that is
// read within readTime, an idle connection for 2 min. HTTP/1.1, and HTTP/2 with TLS or
// with prior knowledge.
func NewServer(h *Handler, certificates *tls.Config, l *slog.Logger) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		DisableGeneralOptionsHandler: true, // OPTIONS * is refused as every other method
		Handler:                      h, Protocols: &protocols, TLSConfig: certificates,
		ConnContext:       h.withConnection,
		ReadHeaderTimeout: 10 * time.Second,
		WriteTimeout:      longestCall + readTime,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 250},
		ErrorLog:          slog.NewLogLogger(l.Handler(), slog.LevelDebug),
	}
}
