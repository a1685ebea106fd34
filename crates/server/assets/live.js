// Lets moments run on, and asks for the page again when something happened. Without it everything works, and stands still.
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
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
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
let since = null, dimming = 0;

function away() {
  // It is told of each failed attempt to come back, too.
  if (since) return;
  since = new Date();
  pulse.classList.remove("on");
  pulse.textContent = "Not live";
  // Streams break now and then, and are back at once.
  dimming = setTimeout(() => {
    document.documentElement.classList.add("away");
    pulse.textContent = "No answer since " + since.toLocaleTimeString();
    document.title = "No answer · " + document.title;
  }, 3000);
}

function back() {
  clearTimeout(dimming);
  dimming = 0;
  since = null;
  document.documentElement.classList.remove("away");
  document.title = document.title.replace(/^No answer · /, "");
  pulse.textContent = "Live";
  pulse.classList.add("on");
}

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
