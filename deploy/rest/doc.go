// Package rest runs the clients that users have against the REST face of the
// broker's daemon, with the simulated Dashboard behind it: make clients.
package rest
