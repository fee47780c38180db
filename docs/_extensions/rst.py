"""Turns what the docstrings hold of reStructuredText (maths, references) into Markdown for mkdocstrings."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import griffe

ROOT = Path(__file__).parents[2]
OURS = ("moefm", "yanlm", "moefm_toy")
DISPLAY = re.compile(r"^(?P<indent> *)\.\. math:: *+(?P<first>.*)\n(?P<more>(?:(?P=indent) +\S.*(?:\n|$))*)", re.M)
INLINE = re.compile(r":math:`([^`]+)`")
REFERENCE = re.compile(r":(?:class|func|meth|mod|data):`~?([\w.]+)`")


def to_markdown(text: str, resolve: Any = lambda name: name) -> str:
    """Rewrite `.. math::`, `:math:` and roles such as `:class:`; `resolve` completes a name, or gives None."""

    def display(match: re.Match[str]) -> str:
        indent = match["indent"]
        lines = [match["first"], *(line.strip() for line in match["more"].splitlines())]
        body = "\n".join(indent + line for line in lines if line)
        return f"{indent}$$\n{body}\n{indent}$$\n"

    text = DISPLAY.sub(display, text)
    text = INLINE.sub(r"$\1$", text)
    text = re.sub(r"^( *)Example:$", r"\1Examples:", text, flags=re.M)  # the section that is shown as code

    def reference(match: re.Match[str]) -> str:
        target = resolve(match[1])
        return f"`{match[1]}`" if target is None else f"[`{match[1]}`][{target}]"

    return REFERENCE.sub(reference, text)


class RstToMarkdown(griffe.Extension):
    """Applies `to_markdown` to every docstring of a package once it is loaded."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Walk the package."""
        self._walk(pkg, pkg)

    def _walk(self, obj: griffe.Object, package: griffe.Module) -> None:
        if obj.docstring is not None:
            text = to_markdown(obj.docstring.value, lambda name: _resolve(name, obj, package))
            if obj.is_class and "PretrainedConfig" in map(str, obj.bases):  # its arguments are its annotated members
                text = text.replace("Args:\n", "Attributes:\n")
            obj.docstring.value = text
        for member in obj.members.values():
            if not member.is_alias:
                self._walk(member, package)


@functools.cache
def _package(name: str) -> griffe.Module:
    package = griffe.load(name, search_paths=[str(ROOT)])
    assert isinstance(package, griffe.Module)
    return package


def _resolve(name: str, obj: griffe.Object, package: griffe.Module) -> str | None:
    """The full path of a name, seen from where it stands or from a package of ours; None for other packages."""
    first, _, short = name.partition(".")
    if first in OURS and short:
        package = package if first == package.path else _package(first)
        homes = (m.members[short] for m in package.modules.values() if short in m.members)
        return _member(package, short) or next((found.path for found in homes if not found.is_alias), name)
    scope: griffe.Object | None = obj
    while scope is not None:
        if (found := _member(scope, name)) is not None:
            return found if found.partition(".")[0] in OURS else None
        scope = scope.parent
    return None


def _member(scope: griffe.Object, name: str) -> str | None:
    """The full path of `name` inside `scope`, through what is imported there."""
    first, _, rest = name.partition(".")
    member = scope.members.get(first)
    if member is None:
        return None
    path = member.target_path if member.is_alias else member.path
    return f"{path}.{rest}" if rest else path
