//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package dashboard

import (
	"net"
	"syscall"
)

// silent tells whether a socket is open with nothing to read, without waiting and
// without taking anything from it. It asks beside a reader that waits.
func silent(c net.Conn) bool {
	s, ok := c.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	open := false
	err = raw.Control(func(socket uintptr) {
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(socket), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		open = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
	})
	return err == nil && open
}
