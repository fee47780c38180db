"""Write docs/licences.md: every package that moefm and its extras install here, with its version and its licence.

Usage: .venv/bin/python scripts/licences.py
"""

from __future__ import annotations

import importlib.metadata as metadata
import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "licences.md"
EXTRAS = ("lm", "eval", "parquet", "ot", "serve", "lm-eval", "browser")
HEAD = """# Licences

moefm is licensed under Apache-2.0 and contains no third-party code. KaTeX draws the formulas of this site. It is
stored with its licence (MIT) in `docs/assets/katex` and is not installed.

The table lists all packages that are installed with it, directly or indirectly, in the versions of `constraints.txt`,
on Linux with the CPU build of torch. Each licence is the one that the package declares.

| package | version | licence | comes with |
|---|---|---|---|
"""
TAIL = """
`python scripts/licences.py` writes this page from an environment with these extras. Not listed are the extra `mamba`,
which is built from source on a machine with CUDA, and NVIDIA's libraries, which come with a CUDA build of torch.
"""
SHORT = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD 3-Clause License": "BSD-3-Clause",
    "BSD License": "BSD",
    "ISC License": "ISC",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT license": "MIT",
    "The MIT License (MIT)": "MIT",
    "Python Software Foundation License": "PSF-2.0",
}
WRITTEN_OUT = {"cycler": "BSD-3-Clause", "kiwisolver": "BSD-3-Clause"}
"""Packages that give the whole text in place of a name."""


def normal(name: str) -> str:
    """A package's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence(package: metadata.Distribution) -> str:
    """What the package declares: the SPDX expression, else a short name, else the classifier."""
    fields = package.metadata
    classifiers = [
        line.split(" :: ")[-1] for line in fields.get_all("Classifier") or [] if line.startswith("License ::")
    ]
    given = fields.get("License-Expression") or ""
    if not given:
        given = (fields.get("License") or "").strip().split("\n")[0]
        if not given or len(given) > 30:
            given = "; ".join(sorted({*classifiers} - {"OSI Approved"})) or "not declared"
    return WRITTEN_OUT.get(package.name, SHORT.get(given, given))


def closure(requirements: list[str]) -> set[str]:
    """All packages that these requirements bring."""
    todo, seen = [(text, {""}) for text in requirements], set()
    while todo:
        text, extras = todo.pop()
        requirement = Requirement(text)
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        key = (normal(requirement.name), tuple(sorted(requirement.extras)))
        if key in seen or key[0] == "moefm":  # an extra that includes another one, which has rows of its own
            continue
        seen.add(key)
        wanted = {"", *requirement.extras}
        todo += [(line, wanted) for line in metadata.requires(requirement.name) or []]
    return {name for name, _ in seen}


def main() -> None:
    """Write the page."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    comes: dict[str, str] = {}
    for extra in ("", *EXTRAS):
        requirements = project["optional-dependencies"][extra] if extra else project["dependencies"]
        for name in closure(requirements):
            comes.setdefault(name, f"`moefm[{extra}]`" if extra else "`moefm`")
    rows = [
        f"| {name} | {metadata.version(name)} | {licence(metadata.distribution(name))} | {comes[name]} |"
        for name in sorted(comes)
    ]
    PAGE.write_text(HEAD + "\n".join(rows) + "\n" + TAIL, encoding="utf-8")


if __name__ == "__main__":
    main()
