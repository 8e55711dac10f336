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

// left tells whether the other side has closed or reset a connection on which there is
// nothing more to read.
func left(c net.Conn) bool {
	s, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	err = raw.Control(func(socket uintptr) {
		var one [1]byte
		n, _, err := unix.Recvfrom(int(socket), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		gone = err == nil && n == 0 || err != nil && err != unix.EAGAIN && err != unix.EINTR
	})
	return err != nil || gone
}
