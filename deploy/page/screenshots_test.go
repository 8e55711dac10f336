//go:build screenshots

package page

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestScreenshots takes those of docs/.
func TestScreenshots(t *testing.T) {
	s := newStand(t)
	ctx := browser(t)
	stop := s.load(t, "orders", "reports")
	defer stop()
	_ = s.get(s.as(t.Context(), t, "reports", "normal"), "/organizations/1/devices")
	do(ctx, t, chromedp.Navigate(s.admin+"/"), is(`document.querySelector("#part-budgets svg .line") !== null`),
		is(fmt.Sprintf(`Number(document.querySelector("#organization-%s [data-attempts]").textContent) > 150`, s.organization)))
	for name, of := range map[string]struct {
		scheme        string
		width, height int64
	}{"page.png": {"light", 1200, 900}, "page-dark-phone.png": {"dark", 390, 844}} {
		var picture []byte
		do(ctx, t,
			emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: of.scheme}}),
			emulation.SetDeviceMetricsOverride(of.width, of.height, 1, false), chromedp.CaptureScreenshot(&picture))
		if err := os.WriteFile(filepath.Join(os.Getenv("SCREENSHOTS"), name), picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
