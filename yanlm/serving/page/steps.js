"use strict";
// The text as it stood after a pass, and the ways from pass to pass. Everything that comes from outside is set as text.
const $ = (id) => document.getElementById(id);
const HUES = [255, 30, 150, 320, 80, 200, 0, 110];
const CALM = matchMedia("(prefers-reduced-motion: reduce)").matches;
const BEAT = 750;

const state = { trace: null, sample: 0, pass: 0, slot: 0, timer: null };

function make(tag, text = "", classes = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = classes;
  return made;
}

// A token as one sees it: without the space before it, and with a sign for what cannot be seen.
function seen(token) {
  const bare = token.replace(/^ /, "");
  return bare === "" ? (token === "" ? "∅" : "␣") : bare.replace(/\r?\n/g, "⏎").replace(/\t/g, "⇥");
}

const percent = (p) => (p === null || p === 0 ? "" : p >= 0.9995 ? "100%" : `${(100 * p).toFixed(p < 0.0995 ? 1 : 0)}%`);
const expertOf = (slot) => state.trace.samples[state.sample].experts?.[slot] ?? null;
const cellsAt = (pass) => state.trace.samples[state.sample].cells[pass - 1];
const count = () => state.trace.passes.length;

function tint(node, slot, p) {
  const expert = expertOf(slot);
  node.classList.toggle("plain", expert === null);
  if (expert !== null) node.style.setProperty("--h", HUES[expert % HUES.length]);
  node.style.setProperty("--p", p ?? 0.6);
}

function spoken(slot, cell) {
  const expert = expertOf(slot);
  const parts = [`slot ${slot + 1}`, seen(cell[0])];
  if (cell[1] !== null) parts.push(percent(cell[1]));
  if (expert !== null) parts.push(`expert ${expert + 1}`);
  return parts.join(", ");
}

function chip(slot, first, before) {
  const { pass } = state;
  const last = cellsAt(count())[slot];
  const cell = pass ? cellsAt(pass)[slot] : null;
  const node = make("button", cell ? seen(cell[0]) : "·".repeat(3), "chip");
  node.type = "button";
  tint(node, slot, cell ? cell[1] : 0);
  if (!cell) node.classList.add("noise");
  else if (cell[0] !== last[0]) node.classList.add("open");
  if (cell && !first && !/^\s/.test(cell[0]) && cell[0] !== "") node.classList.add("joined");
  if (before && cell && before[slot] !== cell[0]) node.classList.add("fresh");
  if (slot === state.slot) node.classList.add("chosen");
  node.setAttribute("aria-label", cell ? spoken(slot, cell) : `slot ${slot + 1}, not read yet`);
  node.addEventListener("click", () => choose(slot));
  node.addEventListener("keydown", walk);
  return node;
}

let shownTokens = null;
function drawStage() {
  const stage = $("stage");
  const held = stage.contains(document.activeElement);
  const { pieces, spans } = state.trace;
  const nodes = [];
  let slot = 0;
  pieces.forEach((piece, place) => {
    nodes.push(document.createTextNode(piece));
    for (let i = 0; i < (spans[place] ?? 0); i += 1, slot += 1) {
      if (i && state.pass && /^\s/.test(cellsAt(state.pass)[slot][0])) nodes.push(document.createTextNode(" "));
      nodes.push(chip(slot, i === 0, shownTokens));
    }
  });
  stage.replaceChildren(...nodes);
  shownTokens = state.pass ? cellsAt(state.pass).map((cell) => cell[0]) : null;
  if (held) stage.querySelectorAll(".chip")[state.slot]?.focus();
}

function drawTable() {
  const table = $("settle");
  const held = table.contains(document.activeElement);
  const last = cellsAt(count());
  const rows = state.trace.passes.map((pass, number) => {
    const row = make("tr", "", number + 1 === state.pass ? "now" : number + 1 > state.pass ? "later" : "");
    const head = make("th", `pass ${number + 1}`);
    if (pass.time !== null) head.append(make("span", `, t = ${pass.time.toFixed(2)}`));
    head.scope = "row";
    if (number + 1 === state.pass) head.setAttribute("aria-current", "step");
    row.append(head);
    cellsAt(number + 1).forEach((cell, slot) => {
      const button = make("button", seen(cell[0]), cell[0] === last[slot][0] ? "" : "open");
      button.type = "button";
      button.title = spoken(slot, cell);
      tint(button, slot, cell[1]);
      if (number + 1 === state.pass && slot === state.slot) button.classList.add("chosen");
      button.addEventListener("click", () => { stop(); go(number + 1, slot); });
      button.addEventListener("keydown", walk);
      const data = make("td");
      data.append(button);
      row.append(data);
    });
    return row;
  });
  table.replaceChildren(...rows);
  if (held) table.rows[Math.max(state.pass, 1) - 1]?.cells[state.slot + 1]?.firstChild.focus();
}

function drawOthers() {
  const cell = cellsAt(state.pass || 1)[state.slot];
  const expert = expertOf(state.slot);
  $("slot-title").textContent =
    `Slot ${state.slot + 1}, pass ${state.pass || 1}${expert === null ? "" : `, expert ${expert + 1}`}`;
  const others = cell[3].some((other) => other[0] === cell[0]) || !cell[3].length ? cell[3] : [[cell[0], cell[1]], ...cell[3]];
  const items = (others.length ? others : [[cell[0], cell[1]]]).map(([token, p]) => {
    const item = make("li", "", token === cell[0] ? "taken" : "");
    const bar = make("div", "", "bar");
    tint(bar, state.slot, p ?? 0);
    item.append(make("b", seen(token)), bar, make("span", percent(p)));
    return item;
  });
  $("others").replaceChildren(...items);
}

function drawWhere() {
  const { pass, trace } = state;
  const time = pass ? trace.passes[pass - 1].time : null;
  const end = cellsAt(count());
  const alike = pass ? cellsAt(pass).filter((cell, slot) => cell[0] === end[slot][0]).length : 0;
  $("where").textContent = pass
    ? `after pass ${pass} of ${count()}${time === null ? "" : `, made at t = ${time.toFixed(2)}`}: ` +
      `${alike} of ${end.length} tokens as in the end`
    : trace.model.method === "flow" && trace.options.sampler === "flow" ? "before the first pass: noise" : "before the first pass: masks";
  $("pass").value = pass;
  $("pass").setAttribute("aria-valuetext", $("where").textContent);
  [...$("bars").children].forEach((bar, number) => bar.classList.toggle("done", number < pass));
}

function draw() {
  drawStage();
  drawTable();
  drawOthers();
  drawWhere();
}

function go(pass, slot = state.slot) {
  state.pass = pass;
  state.slot = slot;
  draw();
}

function choose(slot) {
  go(state.pass, slot);
}

// Arrow keys on a token: to its neighbours, and to the same one in other passes.
function walk(event) {
  const slots = cellsAt(1).length;
  const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  const move = moves[event.key];
  if (!move) return;
  event.preventDefault();
  stop();
  go(Math.min(Math.max(state.pass + move[0], 0), count()), Math.min(Math.max(state.slot + move[1], 0), slots - 1));
}

function stop() {
  clearInterval(state.timer);
  state.timer = null;
  $("play").textContent = "▶";
  $("play").setAttribute("aria-label", "Play");
}

function play() {
  if (state.timer) return stop();
  if (state.pass >= count()) go(0);
  $("play").textContent = "❚❚";
  $("play").setAttribute("aria-label", "Pause");
  state.timer = setInterval(() => {
    go(state.pass + 1);
    if (state.pass >= count()) stop();
  }, Math.max(BEAT * Math.min(1, 6 / count()), 150));
}

$("play").addEventListener("click", play);
$("pass").addEventListener("input", (event) => { stop(); go(Number(event.target.value)); });
