//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package dashboard

import "net"

// silent: a socket cannot be looked at here, so that its reader alone says when a
// connection is over.
func silent(net.Conn) bool { return true }
