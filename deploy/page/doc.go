// Package page opens the page for operators in a real Chromium, with the daemon and the
// simulated Dashboard behind it: make page. It also takes the screenshots of docs/:
// make screenshots.
package page
