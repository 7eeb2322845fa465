// What a page does beside being read: it keeps itself fresh, and follows what a run prints.
// Without this file every page works; it is then as fresh as its last loading.
"use strict";

const SOON_MS = 1000;
const PAST_MS = 15000;
// Of a long output only the end is fetched, and so much of it shown at once.
const PIECE_BYTES = 256 * 1024;
const MOST_LINES = 4000;
const MOST_BYTES = 2 * 1024 * 1024;
const BLOCK_LINES = 200;
const BLOCK_BYTES = 64 * 1024;
// Who falls so many pieces behind goes on from the end.
const MOST_BEHIND = 16;
const FOCUSED = "a[href], button, input, select, summary, [tabindex]";

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
  const focused = nameOfFocused(main);
  renew(main, fresh);
  if (fresh.dataset.refresh) main.dataset.refresh = fresh.dataset.refresh; else delete main.dataset.refresh;
  if (focused && !main.contains(document.activeElement)) {
    const again = [...main.querySelectorAll(FOCUSED)].filter((each) => nameOf(each) === focused.name)[focused.place];
    if (again) again.focus({preventScroll: true});
  }
}

function renew(main, fresh) {
  // What is kept never leaves the page: its scrolling, its focus and its text stay as they are.
  const kept = main.querySelector(":scope > [data-keep]");
  const place = fresh.querySelector(":scope > [data-keep]");
  if (!kept || !place) { main.replaceChildren(...fresh.childNodes); return; }
  const before = [], after = [];
  let isBehind = false;
  for (const each of [...fresh.childNodes]) {
    if (each === place) isBehind = true; else (isBehind ? after : before).push(each);
  }
  while (main.firstChild !== kept) main.firstChild.remove();
  while (kept.nextSibling) kept.nextSibling.remove();
  kept.before(...before);
  kept.after(...after);
  const log = kept.querySelector("[data-log]"), now = place.querySelector("[data-log]");
  log.toggleAttribute("data-live", now.hasAttribute("data-live"));
  log.dataset.empty = now.dataset.empty;
}

function nameOf(element) {
  // A row may have moved meanwhile, so its place tells nothing of what it is.
  return `${element.tagName} ${element.getAttribute("href") || element.id || element.textContent.trim()}`;
}

function nameOfFocused(main) {
  const active = document.activeElement;
  if (!active || active === main || !main.contains(active)) return null;
  const alike = [...main.querySelectorAll(FOCUSED)].filter((each) => nameOf(each) === nameOf(active));
  return {name: nameOf(active), place: Math.max(0, alike.indexOf(active))};
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

function isContinued(byte) { return (byte & 0xc0) === 0x80; }

function whole(bytes) {
  // How many bytes there are without a character at the end whose rest has not come yet.
  let lead = bytes.length - 1;
  while (lead >= 0 && bytes.length - lead < 4 && isContinued(bytes[lead])) lead -= 1;
  if (lead < 0) return bytes.length;
  const first = bytes[lead];
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
  return bytes.length - lead < length ? lead : bytes.length;
}

function cut(bytes) {
  // Into blocks that end with a line; a very long line is cut between two characters.
  const blocks = [];
  let begin = 0, lines = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    if (bytes[at] === 10) lines += 1;
    const next = at + 1;
    const isFull = lines >= BLOCK_LINES || next - begin >= BLOCK_BYTES;
    if (next === bytes.length || (isFull && !isContinued(bytes[next]))) {
      blocks.push({bytes: bytes.subarray(begin, next), lines});
      begin = next;
      lines = 0;
    }
  }
  return blocks;
}

class Output {
  // What an attempt printed, as blocks that each know where they stood.
  constructor(place) {
    this.place = place;
    this.log = place.querySelector("[data-log]");
    this.button = place.querySelector("[data-earlier]");
    this.said = place.querySelector("[data-said]");
    this.blocks = [];
    this.attempt = 0;
    this.newest = 0;
    this.next = -PIECE_BYTES;
    this.isBehind = true;
    this.isGone = false;
    this.button.addEventListener("click", () => this.earlier().catch(() => undefined));
  }

  get isAtEnd() { return this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 30; }

  get size() { return this.blocks.reduce((sum, each) => ({lines: sum.lines + each.lines, bytes: sum.bytes + each.length}), {lines: 0, bytes: 0}); }

  get isFull() { const size = this.size; return this.blocks.length > 1 && (size.lines > MOST_LINES || size.bytes > MOST_BYTES); }

  async ask(offset, limit, attempt) {
    const which = attempt ? `&attempt=${attempt}` : "";
    const answer = await fetch(`${this.log.dataset.log}?offset=${offset}&limit=${limit}${which}`);
    if (!answer.ok) throw new Error(`it answered ${answer.status}`);
    const number = (name) => Number(answer.headers.get(`x-plinth-${name}`));
    return {
      bytes: new Uint8Array(await answer.arrayBuffer()),
      begins: number("offset"), next: number("next-offset"),
      attempt: number("attempt"), newest: number("attempts"),
    };
  }

  made(bytes, at, attempt) {
    // As text, never as HTML: a run prints what it likes.
    return cut(bytes).map((each) => {
      const node = document.createTextNode(new TextDecoder().decode(each.bytes));
      const block = {node, at, attempt, lines: each.lines, length: each.bytes.length};
      at += each.bytes.length;
      return block;
    });
  }

  note(text, at) {
    const block = {node: document.createTextNode(text), at, attempt: this.attempt, lines: 1, length: 0};
    this.blocks.push(block);
    this.log.append(block.node);
  }

  async more() {
    // Fetch what follows; tell whether there was any.
    const found = await this.ask(this.next, PIECE_BYTES, this.attempt);
    this.newest = found.newest;
    if (!this.attempt) this.attempt = found.attempt;
    const isLast = !this.log.hasAttribute("data-live") && found.bytes.length < PIECE_BYTES;
    const length = isLast ? found.bytes.length : whole(found.bytes);
    if (!length) {
      if (found.attempt && this.next < 0) this.next = found.next;
      if (!this.attempt || this.newest <= this.attempt) return false;
      this.attempt = this.newest;
      this.next = -PIECE_BYTES;
      if (this.blocks.length) this.note(`--- attempt ${this.attempt} ---\n`, 0);
      return true;
    }
    const wasAtEnd = this.isAtEnd;
    const added = this.made(found.bytes.subarray(0, length), found.begins, this.attempt);
    this.blocks.push(...added);
    this.log.append(...added.map((each) => each.node));
    this.next = found.begins + length;
    if (wasAtEnd) {
      while (this.isFull) { this.blocks.shift().node.remove(); this.isGone = false; }
      this.log.scrollTop = this.log.scrollHeight;
    }
    return true;
  }

  async earlier() {
    // Fetch what stands before the first block, and leave out as much of the end.
    const first = this.blocks[0];
    if (!first || first.at <= 0) return;
    const from = Math.max(0, first.at - PIECE_BYTES);
    const found = await this.ask(from, first.at - from, first.attempt);
    if (this.blocks[0] !== first) return;
    let bytes = found.bytes.subarray(0, Math.max(0, first.at - found.begins)), at = found.begins;
    const line = bytes.indexOf(10) + 1;
    if (at > 0 && line > 0 && line < bytes.length) { bytes = bytes.subarray(line); at += line; }
    this.isGone = !bytes.length;
    const height = this.log.scrollHeight;
    const added = this.made(bytes, at, first.attempt);
    this.blocks.unshift(...added);
    this.log.prepend(...added.map((each) => each.node));
    this.log.scrollTop += this.log.scrollHeight - height;
    while (this.isFull && this.blocks.length > added.length + 1) {
      this.blocks.pop().node.remove();
      this.isBehind = true;
    }
    const last = this.blocks[this.blocks.length - 1];
    this.next = last.at + last.length;
    this.attempt = last.attempt;
    this.tell();
  }

  jump() {
    // Too far behind to show it all: go on from the end.
    this.blocks.forEach((each) => each.node.remove());
    this.blocks = [];
    this.next = -PIECE_BYTES;
  }

  tell() {
    const first = this.blocks[0];
    const isCut = Boolean(first && first.at > 0);
    this.button.hidden = !isCut || this.isGone;
    const waits = this.isFull && !this.isAtEnd ? " New output waits until you are at the end." : "";
    const cutWords = !isCut ? "" : this.isGone ? "What came before is not kept." : "Only the end of it is here.";
    this.said.textContent = cutWords + waits;
  }

  async follow() {
    for (let streak = 0; ;) {
      try {
        const isLive = this.log.hasAttribute("data-live");
        if ((isLive || this.isBehind) && (this.isAtEnd || !this.isFull)) {
          const grew = await this.more();
          this.tell();
          streak = grew ? streak + 1 : 0;
          if (streak > MOST_BEHIND) { this.jump(); streak = 0; }
          if (grew) { await new Promise((done) => setTimeout(done)); continue; }
          this.isBehind = isLive;
        } else { this.tell(); }
      } catch { /* The control plane is away for a moment; the next round asks again. */ }
      await new Promise((done) => setTimeout(done, SOON_MS));
    }
  }
}

function closeQuestion(event) {
  // As of any question: Escape takes it back, and the keyboard is where it was asked from.
  const asked = event.key === "Escape" && document.querySelector(".confirm[open]");
  if (!asked) return;
  asked.open = false;
  asked.querySelector("summary").focus();
}

document.addEventListener("keydown", closeQuestion);
const main = document.querySelector("main");
const output = document.querySelector("[data-keep]");
if (output) new Output(output).follow();
if (main) keepFresh(main);
