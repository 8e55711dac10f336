package dashboard

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/merakibroker/merakibroker/service/fault"
)

// Describe says in a few words what was wrong with an attempt, for the record: what
// a reset or a 502 was, without addresses, and without anything that came from
// outside. Empty for a success.
func (a *Result) Describe() string {
	switch a.Outcome {
	case fault.OK:
		return ""
	case fault.NotSent:
		return "no connection: " + cause(a.Err)
	case fault.Reset:
		return "no answer: " + cause(a.Err)
	case fault.Timeout:
		if a.Status != 0 {
			return "the body did not come in time"
		}
		return "no answer in time"
	case fault.Left:
		return "the caller left"
	case fault.Garbled:
		for _, own := range [...]error{ErrTooLarge, errEncoding, errNotJSON} {
			if errors.Is(a.Err, own) {
				return own.Error()
			}
		}
		if a.Err != nil {
			return "the body broke off: " + cause(a.Err)
		}
		return fmt.Sprintf("HTTP %d", a.Status)
	case fault.Redirect:
		if a.Refusal != "" {
			return "the redirect " + a.Refusal
		}
	}
	return fmt.Sprintf("HTTP %d", a.Status)
}

// cause names the cause of a transport error, whose own text holds addresses.
func cause(err error) string {
	var dns *net.DNSError
	var record tls.RecordHeaderError
	var certificate *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var timeout net.Error
	switch {
	case errors.Is(err, ErrUnusable):
		return "the request cannot be sent"
	case errors.As(err, &dns):
		if dns.IsNotFound {
			return "no such host"
		}
		return "the name service does not answer"
	case errors.As(err, &certificate), errors.As(err, &unknown):
		return "the certificate is not trusted"
	case errors.As(err, &record):
		return "the other end does not speak TLS"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route"
	case errors.Is(err, errTimeout), errors.As(err, &timeout) && timeout.Timeout():
		return "not in time"
	}
	return "connection closed"
}
