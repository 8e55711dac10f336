// Keeps the parts of the page current. Without this the page is loaded anew by itself.
"use strict";
{
  const state = document.getElementById("live");
  const say = (text) => { if (state.textContent !== text) state.textContent = text; };

  // A part is left as it is while something in it is selected, to be copied; what had
  // the focus has it again.
  const replace = (name, html) => {
    const part = document.getElementById("part-" + name);
    const selection = document.getSelection();
    if (!part || (!selection.isCollapsed && part.contains(selection.anchorNode))) return;
    const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
    part.innerHTML = html;
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  };

  const events = new EventSource("/page/events");
  events.onopen = () => say("live");
  events.onmessage = (event) => {
    const { part, html } = JSON.parse(event.data);
    replace(part, html);
  };
  events.addEventListener("end", () => {
    events.close();
    say("ended: this replica is about to stop; load the page of another one");
  });
  events.onerror = () => say(events.readyState === EventSource.CLOSED
    ? "not live: load the page anew" : "not live: the broker does not answer; trying again");
}
