// What a page does beside being read: it keeps itself fresh, and follows what a run prints.
// Without this file every page works; it is then as fresh as its last loading.
"use strict";

const SOON_MS = 1000;
const PAST_MS = 15000;

function isBusy(main) {
  // Nothing is taken away under somebody's hands: a form, an opened question, a selection.
  const active = document.activeElement;
  return document.hidden || (active && active.closest("form, .confirm"))
    || main.querySelector(".confirm[open]") || String(document.getSelection() || "") !== "";
}

async function refresh(main) {
  if (isBusy(main)) return;
  const answer = await fetch(location.href, {headers: {accept: "text/html"}});
  if (answer.status === 401) { location.reload(); return; }
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
  if (!fresh || isBusy(main)) return;
  keepOpened(main, fresh);
  const log = main.querySelector("[data-log]");
  const place = fresh.querySelector("[data-log]");
  if (log && place) { log.toggleAttribute("data-live", place.hasAttribute("data-live")); place.replaceWith(log); }
  const focused = focusPath(main);
  main.replaceChildren(...fresh.childNodes);
  if (fresh.dataset.refresh) main.dataset.refresh = fresh.dataset.refresh; else delete main.dataset.refresh;
  if (focused) { const again = [...main.querySelectorAll("a[href], summary, [tabindex]")][focused]; if (again) again.focus(); }
}

function focusPath(main) {
  const all = [...main.querySelectorAll("a[href], summary, [tabindex]")];
  return all.indexOf(document.activeElement) > 0 ? all.indexOf(document.activeElement) : 0;
}

function keepOpened(before, after) {
  const names = new Map([...before.querySelectorAll("details")].map((each) => [each.querySelector("summary").textContent, each.open]));
  for (const each of after.querySelectorAll("details")) {
    const name = each.querySelector("summary").textContent;
    if (names.has(name)) each.open = names.get(name);
  }
}

async function keepFresh(main) {
  for (;;) {
    const seconds = Number(main.dataset.refresh || 0);
    await new Promise((done) => setTimeout(done, seconds ? seconds * 1000 : PAST_MS));
    if (seconds) await refresh(main).catch(() => undefined);
  }
}

async function followLog(log) {
  let offset = 0;
  for (;;) {
    try {
      const answer = await fetch(`${log.dataset.log}?offset=${offset}`);
      if (answer.ok) {
        const text = await answer.text();
        const next = Number(answer.headers.get("x-plinth-next-offset"));
        const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 30;
        // As text, never as HTML: a run prints what it likes.
        if (text) log.append(document.createTextNode(text));
        if (isAtEnd) log.scrollTop = log.scrollHeight;
        const grew = next > offset;
        offset = next || offset;
        if (grew) continue;
        if (!log.hasAttribute("data-live")) return;
      }
    } catch { /* The control plane is away for a moment; the next round asks again. */ }
    await new Promise((done) => setTimeout(done, SOON_MS));
  }
}

const main = document.querySelector("main");
const log = document.querySelector("[data-log]");
if (log) followLog(log);
if (main) keepFresh(main);
