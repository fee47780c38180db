"""Turns what the docstrings hold of reStructuredText (maths, references) into Markdown for mkdocstrings."""

from __future__ import annotations

import re
from typing import Any

import griffe

DISPLAY = re.compile(r"^(?P<indent> *)\.\. math:: *(?P<first>.*)\n(?P<more>(?:(?P=indent) +\S.*(?:\n|$))*)", re.M)
INLINE = re.compile(r":math:`([^`]+)`")
REFERENCE = re.compile(r":(?:class|func|meth|mod|data):`~?([\w.]+)`")


def to_markdown(text: str, resolve: Any = lambda name: name) -> str:
    """Rewrite `.. math::`, `:math:` and roles such as `:class:`; `resolve` completes a name."""

    def display(match: re.Match[str]) -> str:
        indent = match["indent"]
        lines = [match["first"], *(line.strip() for line in match["more"].splitlines())]
        body = "\n".join(indent + line for line in lines if line)
        return f"{indent}$$\n{body}\n{indent}$$\n"

    text = DISPLAY.sub(display, text)
    text = INLINE.sub(r"$\1$", text)
    text = re.sub(r"^( *)Example:$", r"\1Examples:", text, flags=re.M)  # the section that is shown as code
    return REFERENCE.sub(lambda m: f"[`{m[1]}`][{resolve(m[1])}]", text)


class RstToMarkdown(griffe.Extension):
    """Applies `to_markdown` to every docstring of a package once it is loaded."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Walk the package."""
        self._walk(pkg, pkg)

    def _walk(self, obj: griffe.Object, package: griffe.Module) -> None:
        if obj.docstring is not None:
            obj.docstring.value = to_markdown(obj.docstring.value, lambda name: _resolve(name, obj, package))
        for member in obj.members.values():
            if not member.is_alias:
                self._walk(member, package)


def _resolve(name: str, obj: griffe.Object, package: griffe.Module) -> str:
    """The full path of a name: relative to its module, or exported by the package."""
    short = name.removeprefix(f"{package.path}.")
    exported = package.members.get(short)
    if exported is not None and exported.is_alias:
        return exported.target_path
    if name.startswith(package.path):
        return name
    return f"{obj.module.path}.{name}"
