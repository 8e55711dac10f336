//go:build !unix

package dashboard

// alive cannot be told here without reading, which would wait.
func (k *connection) alive() bool { return true }
