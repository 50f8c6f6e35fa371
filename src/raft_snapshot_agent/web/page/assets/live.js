"use strict";
// Keeps the page as it would be if it were loaded now. Without this script it is loaded again.
(() => {
  const parts = (from) => [...from.querySelectorAll("[data-part]")];
  const order = (from) => parts(from).map((one) => one.id).join(" ");
  const late = new Set();  // parts that could not be replaced, as somebody chooses in them
  const silence = 40;  // seconds without an event: the agent sends one every 15
  let busy = false, again = false, kept = document.cloneNode(true), ahead = 0;
  let events, heard = false, watched = performance.now();

  // The agent's clock counts, not this one's.
  const set = () => { ahead = Date.parse(document.querySelector("#about time").dateTime) - Date.now(); };

  const say = (text, lost) => {
    const live = document.getElementById("live");
    live.textContent = text;
    live.classList.toggle("lost", lost);
  };

  const put = (old, fresh) => {
    const open = [...old.querySelectorAll("details[open]")].map((one) => one.id);
    const focus = old.contains(document.activeElement) ? document.activeElement : null;
    const path = focus && [...old.querySelectorAll("a, summary, [tabindex]")].indexOf(focus);
    const next = document.importNode(fresh, true);
    for (const id of open) next.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", "");
    old.replaceWith(next);
    if (focus) [...next.querySelectorAll("a, summary, [tabindex]")][path]?.focus({preventScroll: true});
  };

  const show = (fresh) => {
    document.title = fresh.title;
    if (order(kept) !== order(fresh)) {
      put(document.getElementById("state"), fresh.getElementById("state"));
      put(document.querySelector("main"), fresh.querySelector("main"));
      put(document.getElementById("about"), fresh.getElementById("about"));
    } else {
      for (const one of parts(fresh)) {
        const before = kept.getElementById(one.id);
        if (before.outerHTML === one.outerHTML && !late.has(one.id)) continue;
        const shown = document.getElementById(one.id);
        if (shown.querySelector("select:focus")) { late.add(one.id); continue; }
        late.delete(one.id);
        put(shown, one);
      }
    }
    kept = fresh;
    set();
    filter();
    count();
  };

  const load = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.href, {cache: "no-store", signal: AbortSignal.timeout(20000)});
      if (!answer.ok && answer.status !== 404) throw new Error(String(answer.status));
      show(new DOMParser().parseFromString(await answer.text(), "text/html"));
      say(heard ? "live" : `updated every ${silence}s: no events arrive, a proxy may hold them back`, false);
    } catch (error) {
      say("not live: the agent does not answer; what is shown may be old", true);
    }
    busy = false;
    if (again) { again = false; load(); }
  };

  const listen = () => {
    events?.close();
    events = new EventSource("api/v1/events");
    events.addEventListener("status", () => { heard = true; watched = performance.now(); load(); });
    events.addEventListener("error", () => say("not live: connecting again; what is shown may be old", true));
  };

  // No error comes of events that a proxy holds back, nor of an agent or a network that hangs; and a
  // browser does not connect again after an answer such as 502. Hidden pages wait until they are seen.
  const watch = () => {
    if (document.hidden || performance.now() - watched < silence * 1000) return;
    watched = performance.now();
    heard = false;
    listen();
    load();
  };

  const span = (seconds) => {
    const units = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];
    const first = units.findIndex(([, size]) => seconds >= size);
    let text = "";
    for (const [unit, size] of first < 0 ? [] : units.slice(first, first + 2)) {
      const many = Math.floor(seconds / size);
      seconds -= many * size;
      if (many) text += many + unit;
    }
    return text || "0s";
  };

  const count = () => {
    for (const one of document.querySelectorAll("time[data-due]")) {
      const left = Math.floor((Date.parse(one.dateTime) - Date.now() - ahead) / 1000);
      one.textContent = left < 1 ? "now" : `in ${span(left)}`;
    }
  };

  const filter = () => {
    const asked = document.getElementById("q")?.value.toLowerCase() ?? "";
    for (const one of document.querySelectorAll("tr[data-name]")) {
      one.hidden = !one.dataset.name.toLowerCase().includes(asked);
    }
  };

  document.addEventListener("input", (event) => { if (event.target.id === "q") filter(); });
  document.addEventListener("keydown", (event) => {
    const field = document.getElementById("q");
    if (event.key === "/" && field && document.activeElement !== field) {
      event.preventDefault();
      field.focus();
    }
  });
  document.addEventListener("visibilitychange", watch);
  set();
  listen();
  setInterval(() => { count(); watch(); }, 1000);
  count();
})();
