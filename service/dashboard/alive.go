//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package dashboard

import "syscall"

// peeks: a socket can be looked at without waiting.
const peeks = true

// alive tells whether an idle connection is still open and silent, without waiting:
// what has been closed must not be written to, since whether such a request was
// executed is anyone's guess. What says something unasked is not to be trusted
// either.
func (k *connection) alive() bool {
	if k.raw == nil {
		return true
	}
	open := false
	err := k.raw.Read(func(socket uintptr) bool {
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(socket), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		open = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
		return true
	})
	return err == nil && open
}
