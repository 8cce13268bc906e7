"use strict";
// Everything is set as text, never as HTML: names and lines come from files and from other hospitals.
const find = (id) => document.getElementById(id);

function make(tag, text, tone) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (tone) element.dataset.tone = tone;
  return element;
}

function makeBar(bar) {
  const box = make("div");
  box.className = "bar";
  const head = make("div");
  head.append(make("span", bar.label), make("span", bar.total ? `${bar.done} of ${bar.total}` : ""));
  const line = make("progress");
  line.setAttribute("aria-label", bar.label);
  if (bar.total) {
    line.max = bar.total;
    line.value = bar.done;
  }
  box.append(head, line);
  if (bar.note) box.append(make("p", bar.note));
  return box;
}

function show(board) {
  document.title = `${board.condition.split(",")[0]}: ${board.title}`;
  find("title").textContent = board.title;
  const condition = find("condition");
  if (condition.textContent !== board.condition) condition.textContent = board.condition;
  condition.dataset.tone = board.tone;
  find("bars").replaceChildren(...board.bars.map(makeBar));
  find("parties").replaceChildren(
    ...board.parties.flatMap((party) => [make("dt", party.name), make("dd", party.words, party.tone)]),
  );
  find("facts").replaceChildren(
    ...board.facts.flatMap((fact) => [make("dt", fact.label), make("dd", fact.value)]),
  );
  const lines = find("lines");
  if (lines.dataset.last !== board.lines.join("\n")) {
    lines.dataset.last = board.lines.join("\n");
    lines.replaceChildren(...[...board.lines].reverse().map((line) => make("li", line)));
  }
}

function listen() {
  const events = new EventSource("events");
  const line = find("line");
  let lost = "";
  events.onopen = () => {
    line.hidden = true;
    lost = "";
  };
  events.onmessage = (event) => show(JSON.parse(event.data));
  events.onerror = () => {
    if (!lost) lost = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    line.textContent = `Not connected since ${lost}: what is shown here is from then. It tries again by itself.`;
    line.hidden = false;
    // A browser tries again by itself after a lost line, but not after a refusal
    if (events.readyState === EventSource.CLOSED) {
      setTimeout(listen, 3000);
    }
  };
}

listen();
