// arithmatex leaves formulas as \( ... \) and \[ ... \] in elements of the class "arithmatex"; KaTeX draws them.
for (const element of document.querySelectorAll(".arithmatex")) {
  const tex = element.textContent.trim();
  katex.render(tex.slice(2, -2), element, { displayMode: tex.startsWith("\\["), throwOnError: false });
}
