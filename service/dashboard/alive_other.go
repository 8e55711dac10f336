//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package dashboard

// peeks: a socket cannot be looked at without waiting, so connections of our own
// could not be told from closed ones, and net/http makes all attempts.
const peeks = false

func (k *connection) alive() bool { return true }
