// Keeps spans of time current, and asks for the page again when something happened. Without it everything works, and
// stands still.
"use strict";
const pulse = document.getElementById("pulse");
let waiting = 0, asking = false, again = false;

function span(seconds) {
  const units = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];
  const at = Math.max(0, units.findIndex(([size]) => seconds >= size));
  const largest = seconds < 1 ? 3 : at;
  const [size, unit] = units[largest];
  const next = units[largest + 1];
  const rest = next ? Math.floor((seconds % size) / next[0]) : 0;
  return Math.floor(seconds / size) + unit + (rest ? " " + rest + next[1] : "");
}

function run() {
  for (const time of document.querySelectorAll("time[data-run]")) {
    const ahead = (Date.parse(time.dateTime) - Date.now()) / 1000;
    const text = ahead > 0 ? "in " + span(Math.ceil(ahead)) : ahead > -1 ? "now" : span(Math.floor(-ahead)) + " ago";
    if (time.textContent !== text) time.textContent = text;
  }
}

// What had the focus has it again, and what was open stays open.
function replace(part, fresh) {
  const focus = part.contains(document.activeElement) ? document.activeElement : null;
  const mark = focus && (focus.id ? "#" + CSS.escape(focus.id) : focus.getAttribute("href") && `[href="${CSS.escape(focus.getAttribute("href"))}"]`);
  const open = [...part.querySelectorAll("details[open]")].map((details) => details.id);
  part.replaceChildren(...fresh.childNodes);
  part.className = fresh.className;
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (mark) part.querySelector(mark)?.focus({ preventScroll: true });
}

async function look() {
  waiting = 0;
  if (asking) { again = true; return; }
  asking = true;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html", "X-Again": "1" } });
    if (answer.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of document.querySelectorAll("[data-live]")) {
        const fresh = page.getElementById(part.id);
        if (fresh && fresh.innerHTML !== part.innerHTML) replace(part, fresh);
      }
      document.title = page.title;
      run();
    } else if (answer.status === 404 || answer.status === 401) {
      location.reload();
    }
  } catch {
    // The stream of events says whether the service is away.
  }
  asking = false;
  if (again) { again = false; heard(); }
}

function heard() {
  if (!waiting) waiting = setTimeout(look, 300);
}

// A browser has few connections for one host: only a page that is seen keeps one, and one that is left lets go of it.
let events = null;

function listen() {
  if (events || document.visibilityState === "hidden") return;
  events = new EventSource("/api/v1/events");
  for (const kind of ["registered", "removed", "hold", "release", "restore", "deadlines", "watching", "sweep_started", "sweep_ended", "reloaded", "lagged"]) {
    events.addEventListener(kind, heard);
  }
  events.onopen = () => { back(); heard(); };
  events.onerror = () => {
    away();
    // The browser tries again by itself, unless the answer was none to build upon.
    if (events?.readyState === EventSource.CLOSED) { leave(); setTimeout(listen, 5000); look(); }
  };
}

// A page that stands still must not look as if all were well: it turns grey, and says since when.
const lost = document.getElementById("lost");
let since = null, dimming = 0;

// In the zone of all times on the page, as they are written there; a zone without a name is not known here.
function moment(date) {
  const zone = document.documentElement.dataset.zone;
  try {
    if (zone) return new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "medium" }).format(date);
  } catch {
    // A zone that this browser does not know.
  }
  return date.toISOString().slice(0, 19).replace("T", " ") + " UTC";
}

function away() {
  // It is told of each failed attempt to come back, too.
  if (since) return;
  since = new Date();
  pulse.classList.remove("on");
  pulse.textContent = "Reconnecting";
  // Streams break now and then, and are back at once.
  dimming = setTimeout(() => {
    document.documentElement.classList.add("away");
    pulse.textContent = "Disconnected";
    lost.textContent = "The server has not answered since " + moment(since) + ". This page shows what was true then, and updates when the server is back.";
    lost.hidden = false;
    document.title = "Disconnected · " + document.title;
  }, 3000);
}

function back() {
  clearTimeout(dimming);
  dimming = 0;
  since = null;
  document.documentElement.classList.remove("away");
  lost.hidden = true;
  document.title = document.title.replace(/^Disconnected · /, "");
  pulse.textContent = "Live";
  pulse.classList.add("on");
}

// The bars of a chart are one stop for `Tab`; the arrow keys move between them, and `Escape` lets go of a hint.
document.addEventListener("keydown", (event) => {
  const hit = event.target.closest(".hit");
  if (!hit) return;
  if (event.key === "Escape") return hit.blur();
  const all = [...hit.parentNode.querySelectorAll(".hit")];
  const at = all.indexOf(hit);
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: all.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  if (!all[to]) return;
  hit.tabIndex = -1;
  all[to].tabIndex = 0;
  all[to].focus({ preventScroll: true });
});

function leave() {
  events?.close();
  events = null;
}

document.documentElement.classList.add("scripted");
if (document.querySelector("[data-live]")) {
  listen();
  addEventListener("pagehide", leave);
  addEventListener("pageshow", listen);
  document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" ? leave() : listen());
}
setInterval(run, 1000);
