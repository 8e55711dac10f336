// Package mesh runs the broker behind real Envoys, with the bootstraps as they
// are shipped and certificates of a mesh's kind: make mesh.
package mesh
