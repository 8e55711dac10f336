//go:build page

package page

import (
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	organizationsv1 "github.com/merakibroker/merakibroker/gen/meraki/organizations/v1"
)

// TestPage opens the page of a daemon that is under load.
func TestPage(t *testing.T) {
	s := newStand(t)
	ctx := browser(t)
	me := s.as(t.Context(), t, "me", "normal")
	stop := s.load(t, quotes, "reports")
	defer stop()
	if err := s.get(me, "/organizations/1/devices"); err == nil {
		t.Error("there is no such organization")
	}
	if _, err := s.organizations.GetOrganization(me, &organizationsv1.GetOrganizationRequest{OrganizationId: &s.organization}); err != nil {
		t.Error(err) // of which a property is not of the contract
	}
	do(ctx, t, chromedp.Navigate(s.admin+"/"), is(`document.getElementById("live").textContent === "live"`))

	t.Run("figures move", func(t *testing.T) {
		attempts := fmt.Sprintf(`Number(document.querySelector("#organization-%s [data-attempts]").textContent)`, s.organization)
		var before int
		do(ctx, t, is(attempts+" > 0"), chromedp.Evaluate(attempts, &before))
		do(ctx, t, is(fmt.Sprintf("%s > %d", attempts, before+10)),
			is(`document.getElementById("part-waiting").textContent.includes("reports")`),
			is(`document.getElementById("part-underway").textContent.includes("getOrganizationDevices")`),
			is(`document.querySelector("#part-budgets svg .line") !== null`))
	})
	t.Run("from outside", func(t *testing.T) { s.fromOutside(ctx, t) })
	t.Run("accessible", func(t *testing.T) { s.accessible(ctx, t) })
	stop()
	t.Run("figures are right", func(t *testing.T) { s.figures(ctx, t) })
	t.Run("keyboard", func(t *testing.T) { s.keyboard(ctx, t) })
	t.Run("no secrets", func(t *testing.T) { s.secrets(ctx, t) })
	t.Run("another site", func(t *testing.T) { s.anotherSite(ctx, t) })
	t.Run("without script", func(t *testing.T) {
		do(ctx, t, emulation.SetScriptExecutionDisabled(true), chromedp.Navigate(s.admin+"/"),
			chromedp.WaitVisible("#organization-"+s.organization+" [data-attempts]"), emulation.SetScriptExecutionDisabled(false))
	})
	t.Run("drain", func(t *testing.T) {
		do(ctx, t, chromedp.Navigate(s.admin+"/"), is(`document.getElementById("live").textContent === "live"`))
		if err := s.merakid.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		do(ctx, t, is(`document.getElementById("live").textContent.startsWith("ended")`))
		if err := s.merakid.Wait(); err != nil {
			t.Errorf("merakid: %v", err)
		}
	})
}

// fromOutside: what others have named is text.
func (s *stand) fromOutside(ctx context.Context, t *testing.T) {
	var attacked bool
	do(ctx, t,
		is(fmt.Sprintf(`document.getElementById("part-drift").textContent.includes(%q)`, markup)),
		is(fmt.Sprintf(`document.getElementById("part-waiting").textContent.includes(%q)`, quotes)),
		is(`document.getElementById("part-failures").textContent.includes("404")`),
		chromedp.Evaluate(`window.attacked !== undefined || document.querySelector("main img, main b, main script") !== null`, &attacked))
	if attacked {
		t.Error("the page took a name for markup")
	}
}

// accessible: axe-core finds nothing, in light and dark, on a phone and on a screen.
func (s *stand) accessible(ctx context.Context, t *testing.T) {
	axe, err := os.ReadFile(filepath.Join(os.Getenv("AXE"), "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	do(ctx, t, chromedp.Evaluate(string(axe)+"; true", nil))
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{360, 1280} {
			var found []string
			var overflow bool
			do(ctx, t,
				emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
				emulation.SetDeviceMetricsOverride(width, 800, 1, width < 500),
				chromedp.Evaluate(`document.documentElement.scrollWidth > window.innerWidth`, &overflow),
				chromedp.Evaluate(`axe.run().then(r => r.violations.map(v => v.id + ": " + v.nodes.slice(0, 3).map(n => n.html + " " + n.failureSummary).join("; ")))`, &found, promised))
			if len(found) > 0 || overflow {
				t.Errorf("%s, %d wide: wider than the screen: %v; %s", scheme, width, overflow, strings.Join(found, "\n"))
			}
		}
	}
	do(ctx, t, emulation.ClearDeviceMetricsOverride())
}

// figures: what the page says is what the RPCs say and what the Dashboard has seen.
func (s *stand) figures(ctx context.Context, t *testing.T) {
	me := s.as(t.Context(), t, "me", "normal")
	// What was on its way is counted when it has ended.
	do(ctx, t, is(`document.getElementById("part-waiting").textContent === "Nobody."`),
		is(`fetch("/page/broker.json").then(r => r.json()).then(d => d.attemptsUnderWay === 0)`))
	budget, err := s.broker.GetBudget(me, &brokerv1.GetBudgetRequest{OrganizationId: s.organization})
	if err != nil {
		t.Fatal(err)
	}
	health, err := s.broker.GetUpstreamHealth(me, &brokerv1.GetUpstreamHealthRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if seen := s.sandbox.Organization(s.organization).Arrived; int64(seen) != budget.GetAttempts() {
		t.Errorf("the Dashboard has seen %d requests of the organization, and %d attempts were made", seen, budget.GetAttempts())
	}
	usage, err := s.broker.GetUsage(me, &brokerv1.GetUsageRequest{})
	if err != nil {
		t.Fatal(err)
	}
	day := health.GetOverall()[2]
	do(ctx, t,
		is(fmt.Sprintf(`document.querySelector("#organization-%s [data-attempts]").textContent === "%d"`, s.organization, budget.GetAttempts())),
		is(fmt.Sprintf(`document.querySelectorAll("#part-health tbody tr")[2].cells[2].textContent === "%d"`, day.GetAttempts())),
		is(fmt.Sprintf(`document.getElementById("usage-total").cells[2].textContent === "%d"`, usage.GetTotal().GetAttempts())),
		is(`document.getElementById("part-usage").textContent.includes("reports")`),
		is(`document.getElementById("part-underway").textContent === "Nothing."`))
}

// tab presses the tabulator until an element has the focus.
func tab(id string, modifiers ...chromedp.KeyOption) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		for range 100 {
			var focused string
			if err := chromedp.Evaluate(`document.activeElement.id`, &focused).Do(ctx); err != nil || focused == id {
				return err
			}
			if err := chromedp.KeyEvent(kb.Tab, modifiers...).Do(ctx); err != nil {
				return err
			}
		}
		return fmt.Errorf("the tabulator does not reach %s", id)
	})
}

// keyboard: everything is reached, and every action done, by keyboard alone.
func (s *stand) keyboard(ctx context.Context, t *testing.T) {
	me := s.as(t.Context(), t, quotes, "bulk")
	path := "/organizations/" + s.organization + "/networks"
	hold := func(scope int, name string) {
		t.Helper()
		do(ctx, t, tab("token"), chromedp.KeyEvent(s.token), tab("scope"), chromedp.KeyEvent(strings.Repeat(kb.ArrowDown, scope-1)))
		if name != "" {
			do(ctx, t, tab("name"), chromedp.KeyEvent(name))
		}
		do(ctx, t, tab("reason"), chromedp.KeyEvent("an incident"), tab("hold"), chromedp.KeyEvent(" "),
			is(`document.querySelector(".done")?.textContent.startsWith("Held")`))
	}
	release := func() {
		t.Helper()
		do(ctx, t, tab("token"), chromedp.KeyEvent(s.token), tab("release-0", chromedp.KeyModifiers(8)), chromedp.KeyEvent(" "),
			is(`document.querySelector(".done")?.textContent.startsWith("Released")`))
	}
	hold(1, "jwt:"+quotes)
	do(ctx, t, is(fmt.Sprintf(`document.getElementById("part-holds").textContent.includes(%q)`, "bulk of caller jwt:"+quotes)))
	if err := s.get(me, path); err == nil || !strings.Contains(err.Error(), "an incident") {
		t.Errorf("a caller whose bulk is held: %v", err)
	}
	if err := s.get(s.as(t.Context(), t, "reports", "bulk"), path); err != nil {
		t.Errorf("another caller: %v", err)
	}
	release()
	if err := s.get(me, path); err != nil {
		t.Errorf("after the release: %v", err)
	}
	hold(2, s.organization)
	if err := s.get(me, path); err == nil {
		t.Error("an organization whose bulk is held was read")
	}
	release()
	hold(3, "")
	if _, err := s.broker.Call(me, &brokerv1.CallRequest{Method: "PUT", Path: "/organizations/" + s.organization, Body: []byte(`{"name":"n"}`)}); err == nil {
		t.Error("a write was made while all are held")
	}
	release()

	// A wrong token says so where it stands, and keeps what was written.
	do(ctx, t, tab("token"), chromedp.KeyEvent("nonsense"), tab("reason"), chromedp.KeyEvent("kept"), tab("hold"), chromedp.KeyEvent(" "),
		is(`document.querySelector("[role=alert]") !== null && document.activeElement.id === "token" && document.getElementById("reason").value === "kept"`))

	var all, reached int
	do(ctx, t, chromedp.Navigate(s.admin+"/"), is(`document.getElementById("live").textContent === "live"`),
		chromedp.Evaluate(`[...document.querySelectorAll("a, button, input, select, [tabindex='0']")].length`, &all),
		chromedp.Evaluate(`window.reached = new Set(); document.addEventListener("focusin", e => window.reached.add(e.target)); 0`, nil))
	for range all + 2 {
		do(ctx, t, chromedp.KeyEvent(kb.Tab))
	}
	do(ctx, t, chromedp.Evaluate(`window.reached.size`, &reached))
	if reached != all {
		t.Errorf("the tabulator reaches %d of %d", reached, all)
	}
}

// secrets: neither the page nor its JSON shows a key or a token, right after one was used.
func (s *stand) secrets(ctx context.Context, t *testing.T) {
	for _, path := range []string{"/", "/page/broker.json", "/page/budgets.json", "/page/health.json", "/page/failures.json", "/page/drift.json", "/page/holds.json", "/page/usage.json"} {
		var text string
		do(ctx, t, chromedp.Navigate(s.admin+path), chromedp.OuterHTML("html", &text))
		for _, secret := range []string{s.token, dashboardKey, "Bearer", "BEGIN"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s has %q", path, secret)
			}
		}
	}
}

// anotherSite: a page of another site sends the form, and has even got the token.
func (s *stand) anotherSite(ctx context.Context, t *testing.T) {
	page := template.Must(template.New("").Parse(`<form method="post" action="{{.Admin}}/page/act">
{{range $name, $value := .Fields}}<input name="{{$name}}" value="{{$value}}">{{end}}</form><script>document.forms[0].submit()</script>`))
	foreign := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_ = page.Execute(w, map[string]any{"Admin": s.admin, "Fields": map[string]string{
			"token": s.token, "scope": "3", "minutes": "5", "reason": "attack"}})
	}))
	defer foreign.Close()
	var holds string
	do(ctx, t, chromedp.Navigate(strings.Replace(foreign.URL, "127.0.0.1", "localhost", 1)), is(`document.body.textContent.includes("cross-origin request")`),
		chromedp.Navigate(s.admin+"/page/holds.json"), chromedp.Text("body", &holds))
	if strings.Contains(holds, "attack") {
		t.Errorf("%s", holds)
	}
}
