// Merakictl is the operator's terminal: who spends the budget, is it us or the
// Dashboard, what was written, may they do that.
//
//	merakictl top                                  all of it at a glance, live
//	merakictl health                               how the Dashboard has been answering
//	merakictl usage --by caller --since 1h         who spent what
//	merakictl attempts --failed --follow           what fails, as it fails
//	merakictl call GET /organizations --all        a call of one's own
//
// It asks the operator's port, or the port for callers for what calls the Dashboard.
// docs/merakictl.md has every command.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// linkedVersion is set by the build of the image: -ldflags "-X main.linkedVersion=1.2.3".
var linkedVersion = ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, system(), os.Args[1:])
	stop()
	os.Exit(code)
}
