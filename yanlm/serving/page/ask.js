// Asks the server for a text, or shows the one that came with the page.
const data = JSON.parse($("data").textContent);
const EXAMPLES = [
  ["a story", "Once upon a time there was a little <mask> who lived in the <mask> ."],
  ["a king", "The king said to his daughter , <mask> , and she went away ."],
  ["a night", "It was a dark and <mask> night , and the <mask> was cold ."],
];
let asking = null;

function about(facts) {
  const kinds = { flow: facts.denoises ? "a flow whose encoder denoises" : "a flow behind its encoder", mlm: "a masked language model",
    mdlm: "masked diffusion", gpt2: "GPT-2, token by token", bart: "BART, token by token" };
  const parts = [facts.name, kinds[facts.method] ?? facts.method];
  if (facts.experts > 1) parts.push(`${facts.experts} experts`);
  $("model").textContent = parts.join(" · ");
}

function request() {
  const length = $("length").value.trim();
  const body = {
    text: $("text").value,
    steps: Number($("steps").value),
    samples: Number($("samples").value),
    seed: Number($("seed").value),
    length: /^[0-9]+$/.test(length) ? Number(length) : length,
    trace: true,
  };
  if (data.server.temperature) body.temperature = Number($("temperature").value);
  if (data.server.denoises) body.sampler = $("sampler").value;
  if (body.sampler === "diffusion") return body;
  if (data.server.reread) body.reread = $("reread").checked;
  if (Number($("candidates").value) !== 1) body.candidates = Number($("candidates").value);
  return body;
}

function setSteps(steps) {
  $("steps").value = steps;
  $("steps-shown").textContent = steps;
}

// What the chosen way of writing takes, and whether another seed can change anything.
function drawWay(facts) {
  const flow = facts.method === "flow" && $("sampler").value === "flow";
  const draws = flow || Number($("temperature").value) > 0;
  $("reread-label").hidden = !facts.reread || !flow;
  $("candidates-label").hidden = !facts.denoises || !flow;
  $("another").disabled = !draws;
  $("another").title = draws ? "fill it with the next seed" : "nothing is drawn: a temperature above 0 changes that";
}

function problem(text) {
  $("problem").textContent = text;
  $("problem").hidden = !text;
}

async function ask(lively = true) {
  asking?.abort();
  const own = (asking = new AbortController());
  const body = request();
  const began = performance.now();
  problem("");
  $("fill").disabled = true;
  try {
    const response = await fetch("/v1/infill", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal: own.signal,
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error.message);
    const round = (performance.now() - began) / 1000;
    show(answer.results[0].trace, [`${ms(answer.timing.waited)} in the queue`, `${ms(round)} until it was here`], lively);
    const { trace, ...rest } = body;
    $("request").textContent = `curl ${location.origin}/v1/infill -H 'Content-Type: application/json' \\\n  -d '` +
      `${JSON.stringify(rest).replaceAll("'", "'\\''")}'`;
  } catch (error) {
    if (error.name === "AbortError") return;
    problem(error instanceof TypeError ? "The server does not answer; is yanlm serve still running?" : error.message);
  } finally {
    if (asking === own) $("fill").disabled = false;
  }
}

function insertMask() {
  const area = $("text");
  const { selectionStart: start, selectionEnd: end, value } = area;
  const before = start && !/\s$/.test(value.slice(0, start)) ? " " : "";
  const after = /^[\w]/.test(value.slice(end)) ? " " : "";
  area.setRangeText(`${before}<mask>${after}`, start, end, "end");
  area.focus();
}

function prepare(facts) {
  about(facts);
  $("ask").hidden = false;
  $("steps").max = Math.min(facts.limits.steps, 16);
  $("steps-label").hidden = !facts.steps;
  $("samples").max = Math.min(facts.limits.results, 8);
  $("sampler-label").hidden = !facts.denoises;
  $("temperature-label").hidden = !facts.temperature;
  $("sampler").value = facts.defaults.sampler;
  $("reread").checked = facts.defaults.reread;
  $("temperature").value = facts.defaults.temperature;
  setSteps(facts.defaults.steps);
  drawWay(facts);
  $("text").value = EXAMPLES[0][1];
  EXAMPLES.forEach(([name, text]) => {
    const button = make("button", name);
    button.type = "button";
    button.title = text;
    button.addEventListener("click", () => { $("text").value = text; ask(); });
    $("examples").append(button);
  });
  $("mask").addEventListener("click", insertMask);
  $("another").addEventListener("click", () => { $("seed").value = Number($("seed").value) + 1; ask(); });
  $("ask").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  $("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); $("ask").requestSubmit(); }
  });
  $("sampler").addEventListener("change", () => {
    setSteps($("sampler").value === facts.defaults.sampler ? facts.defaults.steps : 3);
    drawWay(facts);
    ask();
  });
  $("temperature").addEventListener("input", () => drawWay(facts));
  $("steps").addEventListener("input", () => setSteps($("steps").value));
  $("steps").addEventListener("change", () => { if (state.trace) ask(false); });
  $("text").focus();
}

if (data.server) prepare(data.server);
if (data.trace) {
  about(data.trace.model);
  $("request").hidden = true;
  show(data.trace);
}
