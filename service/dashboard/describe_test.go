package dashboard

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/merakibroker/merakibroker/service/fault"
)

func TestDescribe(t *testing.T) {
	t.Parallel()
	at := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 443}, Err: os.NewSyscallError("connect", err)}
	}
	for _, c := range []struct {
		a    Result
		want string
	}{
		{Result{Outcome: fault.OK, Status: 200}, ""},
		{Result{Outcome: fault.Refused, Status: 404, Messages: []string{"secret"}}, "HTTP 404"},
		{Result{Outcome: fault.GatewayError, Status: 502}, "HTTP 502"},
		{Result{Outcome: fault.NotSent, Err: at(syscall.ECONNREFUSED)}, "no connection: connection refused"},
		{Result{Outcome: fault.NotSent, Err: at(syscall.ENETUNREACH)}, "no connection: no route"},
		{Result{Outcome: fault.NotSent, Err: &net.DNSError{Name: "api.meraki.com", IsNotFound: true}}, "no connection: no such host"},
		{Result{Outcome: fault.NotSent, Err: &net.DNSError{Name: "api.meraki.com", IsTimeout: true}}, "no connection: the name service does not answer"},
		{Result{Outcome: fault.NotSent, Err: errTimeout}, "no connection: not in time"},
		{Result{Outcome: fault.NotSent, Err: unusable("x")}, "no connection: the request cannot be sent"},
		{Result{Outcome: fault.Reset, Err: at(syscall.ECONNRESET)}, "no answer: connection reset"},
		{Result{Outcome: fault.Reset, Err: io.EOF}, "no answer: connection closed"},
		{Result{Outcome: fault.Timeout}, "no answer in time"},
		{Result{Outcome: fault.Timeout, Status: 200}, "the body did not come in time"},
		{Result{Outcome: fault.Left}, "the caller left"},
		{Result{Outcome: fault.Garbled, Status: 200, Err: fmt.Errorf("x: %w", ErrTooLarge)}, ErrTooLarge.Error()},
		{Result{Outcome: fault.Garbled, Status: 200, Err: errNotJSON}, errNotJSON.Error()},
		{Result{Outcome: fault.Garbled, Status: 200, Err: io.ErrUnexpectedEOF}, "the body broke off: connection closed"},
		{Result{Outcome: fault.Garbled, Status: 101}, "HTTP 101"},
		{Result{Outcome: fault.Redirect, Status: 302}, "HTTP 302"},
		{Result{Outcome: fault.Redirect, Status: 302, Refusal: "names no place to go to"}, "the redirect names no place to go to"},
	} {
		if got := c.a.Describe(); got != c.want {
			t.Errorf("%v %v: %q; want %q", c.a.Outcome, c.a.Err, got, c.want)
		}
	}
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	a := attempt(t, client(t, strings.Replace(s.URL, "http:", "https:", 1)), get("/a"))
	if a.Describe() != "no connection: the other end does not speak TLS" {
		t.Errorf("%q (%v)", a.Describe(), a.Err)
	}
}
