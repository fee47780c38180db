// Opens every page of the site in a frame, wide and narrow, light and dark, and reports what a reader would stumble over.
const frame = document.querySelector("iframe");
const visible = (element) => element.getClientRects().length > 0;
const painted = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));

async function opened(page) {
  await new Promise((done) => {
    frame.onload = done;
    frame.src = "/" + page;
  });
  await frame.contentDocument.fonts.ready;
}

function name(element) {
  return `${element.tagName.toLowerCase()}.${element.className}: ${element.textContent.trim().slice(0, 60)}`;
}

// Formulas that were not drawn, and TeX in the text around them.
function rawTex(page) {
  const content = page.querySelector(".md-content").cloneNode(true);
  const wrong = [...content.querySelectorAll(".arithmatex:not(:has(.katex-html)), .katex-error")].map(name);
  content.querySelectorAll("pre, code, .katex").forEach((element) => element.remove());
  return wrong.concat(content.textContent.match(/.{0,20}(\\[a-zA-Z(\[]|\$\$).{0,20}/g) ?? []);
}

// What is wider than the screen, or than its own box.
function overflow(page, boxes) {
  const root = page.documentElement;
  const wide = root.scrollWidth > root.clientWidth ? [`page of ${root.scrollWidth} px in ${root.clientWidth}`] : [];
  const scrolls = [...page.querySelectorAll(`.md-content :is(${boxes})`)].filter(visible);
  return wide.concat(
    scrolls
      .filter((element) => element.scrollWidth > element.clientWidth + 1)
      .map((element) => `${element.scrollWidth} px in ${element.clientWidth}: ${name(element)}`),
  );
}

// Formulas that run into their own number.
function collisions(page) {
  return [...page.querySelectorAll(".katex-html > .katex-tag")].filter((tag) => {
    const last = tag.previousElementSibling.getBoundingClientRect();
    return visible(tag) && last.right > tag.lastElementChild.getBoundingClientRect().left;
  }).map((tag) => name(tag.parentElement));
}

function luminance(colour) {
  const [red, green, blue] = colour.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

// Red, green and blue of a colour laid over another, as the canvas mixes them.
function over(colours) {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d");
  for (const colour of colours) {
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
  }
  return [...canvas.getImageData(0, 0, 1, 1).data.slice(0, 3)];
}

// Text of too little contrast to be read (below 3 to 1).
function faint(page) {
  const style = (element) => page.defaultView.getComputedStyle(element);
  return [...page.querySelectorAll(".md-content :is(p, td, th, li, h1, h2, h3, a:not(.headerlink), code)")].filter(visible).filter((element) => {
    const grounds = [];
    for (let above = element; above; above = above.parentElement) grounds.unshift(style(above).backgroundColor);
    const [text, ground] = [over([...grounds, style(element).color]), over(grounds)].map(luminance);
    return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05) < 3;
  }).map(name).slice(0, 3);
}

function external(page) {
  const entries = page.defaultView.performance.getEntriesByType("resource").map((entry) => entry.name);
  return entries.filter((address) => !/^(data|blob):/.test(address) && !address.startsWith(location.origin));
}

async function check(pages) {
  const found = [];
  const note = (page, kind, list) => found.push(...list.map((what) => `${page}: ${kind}: ${what}`));
  for (const address of pages) {
    frame.style.width = "1280px";
    await opened(address);
    const page = frame.contentDocument;
    const still = page.createElement("style");
    still.textContent = "* { transition: none !important }"; // colours are compared at once
    page.head.append(still);
    await painted();
    note(address, "raw TeX", rawTex(page));
    note(address, "at 1280 px", overflow(page, "pre, pre code, .md-typeset__scrollwrap, .arithmatex"));
    for (const scheme of ["default", "slate"]) {
      page.body.dataset.mdColorScheme = scheme;
      await painted();
      note(address, `faint in ${scheme}`, faint(page));
    }
    frame.style.width = "400px";
    await painted();
    note(address, "at 400 px", overflow(page, "none"));
    note(address, "under its number", collisions(page));
    note(address, "asks another host", external(page));
  }
  return found;
}

check(PAGES)
  .catch((error) => [String(error.stack)])
  .then((found) => fetch("/report", { method: "POST", body: JSON.stringify(found) }));
