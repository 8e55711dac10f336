package rest

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// confirmed tells whether the other side's system has confirmed everything that was
// written to a socket, and whether it has reset the connection.
func confirmed(c net.Conn) (all, reset bool) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return true, false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false, false
	}
	err = raw.Control(func(socket uintptr) {
		waiting, err := unix.IoctlGetInt(int(socket), unix.SIOCOUTQ)
		failed, errOfSocket := unix.GetsockoptInt(int(socket), unix.SOL_SOCKET, unix.SO_ERROR)
		all, reset = err == nil && waiting == 0, errOfSocket != nil || failed != 0
	})
	return err == nil && all, reset
}
