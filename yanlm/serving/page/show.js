// Shows one text: its samples, its colours, its time, and the command that writes it.
function drawLegend() {
  const used = state.trace.samples[state.sample].experts;
  const items = [];
  const numbers = used ? [...new Set(used)].sort((a, b) => a - b) : [];
  for (const expert of numbers) {
    const share = used.filter((each) => each === expert).length;
    const item = make("li", `expert ${expert + 1}: ${share} of ${used.length} tokens`);
    item.style.setProperty("--h", HUES[expert % HUES.length]);
    items.push(item);
  }
  items.push(make("li", "stronger colour: more probable", "note"), make("li", "dashed: still changes", "note"));
  $("legend").replaceChildren(...items);
}

const ms = (seconds) =>
  seconds >= 0.9995 ? `${seconds.toFixed(1)} s` : `${(1000 * seconds).toFixed(seconds < 0.0995 ? 1 : 0)} ms`;

function drawTime(more) {
  const { trace } = state;
  const timed = trace.passes.every((pass) => pass.seconds !== null);
  const bars = trace.passes.map((pass, number) => {
    const bar = make("div", timed ? ms(pass.seconds) : `${number + 1}`);
    bar.style.setProperty("--share", timed ? 1e6 * pass.seconds : 1);
    return bar;
  });
  $("bars").replaceChildren(...bars);
  const slots = trace.samples[0].cells[0].length * trace.samples.length;
  const parts = [`${trace.nfe} ${trace.nfe === 1 ? "pass" : "passes"} of the network`, `${ms(trace.seconds)} in the model, this view included`];
  parts.push(`${slots} ${slots === 1 ? "token" : "tokens"}, ${Math.round(slots / trace.seconds)} a second`, ...more);
  $("time").textContent = `${parts.join(" · ")}.`;
}

function drawSamples() {
  const row = $("samples-row");
  row.hidden = state.trace.samples.length < 2;
  row.replaceChildren(...state.trace.samples.map((_, number) => {
    const button = make("button", `sample ${number + 1}`);
    button.type = "button";
    button.setAttribute("aria-pressed", number === state.sample);
    button.addEventListener("click", () => {
      state.sample = number;
      shownTokens = null;
      [...row.children].forEach((each, other) => each.setAttribute("aria-pressed", other === number));
      drawLegend();
      draw();
    });
    return button;
  }));
}

// Show a text; `more` is said about its time, and `lively` plays it.
function show(trace, more = [], lively = true) {
  stop();
  Object.assign(state, { trace, sample: 0, slot: 0, pass: trace.passes.length });
  shownTokens = null;
  $("pass").max = count();
  $("result").hidden = false;
  drawSamples();
  drawLegend();
  drawTime(more);
  $("command").textContent = trace.command;
  if (!trace.samples[0].cells[0].length) return;
  if (lively && !CALM) {
    state.pass = 0;
    draw();
    play();
  } else draw();
  $("said").textContent = trace.samples[0].text;
}
