"""Every regular expression of the project reads the worst text there is for it in time that grows with its length.

The work is not timed: a process gets 40 s of CPU time for all of it. It needs about one, and an expression that is
quadratic takes minutes on its own.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("moefm", "yanlm", "toy", "cli", "docs/_extensions", "benchmarks", "examples", "scripts")
LENGTH = 400_000

CELLS = [("", " ", "x"), ('"', "x", ""), ('"', '""', ""), ('"', "x", '"x'), ('"x"', " ", "x")]
"""Worst texts of expressions for a quoted cell."""

WORST: dict[str, list[tuple[str, str, str]]] = {
    "moefm/toy.[1-9]\\d{0,5}": [("", "1", "x")],
    "evaluation/folder.[^\\w.-]+": [("", "a ", "")],
    "_extensions/rst.DISPLAY": [
        (".. math::", " ", "x"), ("", " ", "x"), (".. math:: x\n", " ", ""), ("", ".. math::", ""),
    ],
    "_extensions/rst.INLINE": [("", ":math:`", ""), (":math:`", "x", "")],
    "_extensions/rst.REFERENCE": [("", ":class:`", ""), (":class:`", "x", "")],
    "_extensions/rst.^( *)Example:$": [("", " ", "x"), ("", " \n", ""), ("", "Example:", "")],
    "moefm/plain_text._FILLED": [("", "\n", ""), ("", "x\n", ""), ("", "x", "")],
    'moefm/plain_text."[^"]*"': [("", '"', "x"), ('"', "x", "")],
    "moefm/reading._SIZE": [("", "1", "x"), ("1.", "1", "x"), ("1", " ", "x"), ("1e", "1", "x")],
    "moefm_cli/usage._SUBJECT": [("", "x", ""), ("model.", "x", ""), ("", "model.", "")],
    "moefm_cli/usage._GIVEN": [("", "x", ""), ("x=", "x", "!"), ("x=", "x.", "!"), ("", "x=", ""), ("", "x='", "")],
    "moefm_cli/usage._LONG": [("", "x", ""), ("", "_", ""), ("a", "_", "="), ("a", "_a", "="), ("", "a_ ", "")],
    "benchmarks/shipped.WORD": [("", "a", "'"), ("", "a'", ""), ("", "'", "")],
    "benchmarks/serving.127\\.0\\.0\\.1:(\\d+)": [("127.0.0.1:", "1", "x"), ("", "127.0.0.1:", "")],
    "scripts/serving_picture.http://\\S+": [("", "http://", " "), ("http://", "x", " ")],
    "scripts/licences.[-_.]+": [("", "-", "x"), ("", "-x", "")],
    "moefm/reading._ZEROS": [("", "\0", "x"), ("", "x", "")],
    "moefm_toy/parquet.INDEX": [("__index_level_", "1", "_"), ("", "__index_level_1", "")],
    "data/delimited._LINE": [("", "x", ""), ("", "\r", ""), ("", "x\n", "")],
    "data/delimited._NUMBER": [("", "1", "x"), ("1.", "1", "e"), ("1e", "1", "x")],
    "data/delimited._WHOLE": [("", "1", "x"), ("1.", "0", "x")],
    'data/delimited. *"([^"]*+(?:""[^"]*+)*+)" *(?=[\\r\\n,]|\\Z)': CELLS,
    'data/delimited. *"([^"]*+(?:""[^"]*+)*+)" *(?=[\\r\\n;]|\\Z)': CELLS,
    'data/delimited. *"([^"\\t]*+(?:""[^"\\t]*+)*+)" *(?=[\\r\\n\\t]|\\Z)': CELLS,
    "data/delimited._WITH_TABS": CELLS,
    'data/delimited.[^\\r\\n,]*': [("", "x", ""), ("", "\n", "")],
    'data/delimited.[^\\r\\n;]*': [("", "x", ""), ("", "\n", "")],
    'data/delimited.[^\\r\\n\\t]*': [("", "x", ""), ("", "\n", "")],
    "data/formats._FILLED": [("", "\n", ""), ("", "x\n", ""), ("", "x", "")],
    "data/formats._FILLED_BYTES": [("", " ", "x"), ("", "\n ", ""), ("", "x", "")],
    "modeling/pretrained._LAYER": [("", ".h", ""), ("", "h.1", ""), ("h.", "1", "x")],
    'modeling/weights.encoder\\.blocks\\.(\\d+)\\.': [("encoder.blocks.", "1", "x"), ("", "encoder.blocks.1", "")],
    'modeling/weights.flow\\.blocks\\.(\\d+)\\.': [("flow.blocks.", "1", "x"), ("", "flow.blocks.1", "")],
    'modeling/weights.net\\.(transformer\\.h|model\\.encoder\\.layers|model\\.decoder\\.layers)\\.(\\d+)\\.': [
        ("net.transformer.h.", "1", "x"), ("", "net.", ""),
    ],
    "tokenization/foreign._ATOM": [
        ("[", "x", ""), ("[", "[x]", ""), ("[", "[", ""), ("\\p{", "x", ""), ("(?", "i", ""),
    ],
    "tokenization/foreign._UNBOUNDED": [("{", "1", ""), ("{", "1", ",")],
    "tasks/ngram.TOKENS": [("", "a'", "'"), ("a", "'", ""), ("", "x", "'"), ("", "’", "")],
    "tokenization/llama3.[A-Za-z0-9+/]+=* \\d+\\s*": [
        ("", "A", ""), ("A ", "1", "x"), ("", "=", ""), ("A 1", " ", "x"),
    ],
    "data/formats._BLANK": [("\n", " ", "x"), ("", "\n ", "x"), ("", "\n\x0b", "")],
    "builtin/pydoc_text._BLANK": [("\n", " ", "x"), ("", "\n ", "x"), ("", "\nx", "")],
    "builtin/pydoc_text._CODE": [("", "\n", "x"), ("", " \n", "x"), ("", " ", "x"), ("", ">", ""), ("", ":", "")],
    "builtin/pydoc_text._ITEM": [("", "\n", "x"), ("", "\n ", "x"), ("\n", " ", "x")],
    "builtin/pydoc_text._RULE": [("", "=", "x")],
    "builtin/pydoc_text._SENTENCE_END": [(".", " ", "x"), ("", ". ", "x"), ("", '."', "")],
    "builtin/pydoc_text._WORD": [("a", "'", "0"), ("a", "’”", "0"), ("", '"', "0"), ("", "(", ""), ("a", ".'", "")],
    "builtin/pydoc_text.(?<=\\w)-\\n\\s*(?=\\w)": [("a-\n", " ", ""), ("", "a-\n", ""), ("a-\n", "\n", "-")],
    "builtin/pydoc_text.^\\s*(?:[*•\\-]|\\d+\\.|\\[\\d+\\])\\s+": [
        ("", " ", "x"), ("", "1", "x"), ("[", "1", "x"), ("*", " ", ""),
    ],
    "builtin/pydoc_text.(?<!\\s)\\s*+\\[\\d++\\]": [("", " ", "x"), ("[", "1", "x"), ("", "[1", ""), ("", " [", "")],
    'builtin/pydoc_text.(?<![\\w\\"\'*])\\*{1,2}(\\w(?:[^*\\"]*\\w)?)\\*{1,2}(?![\\w\\"\'*])': [
        ("*a", " ", ""), ("*", "a", ""), ("", "*a ", ""), ("", "*", ""), ("", " *a", "**"),
    ],
    "builtin/pydoc_text.\\s+": [("", " ", "x")],
    "tasks/sentences._END": [
        ("", ".", "x"), ("", '."', "x"), (".", '"', "x"), ("", "…", ""), ("", "。”", ""), ("", "?! ", ""),
    ],
}  # fmt: skip
"""By file and name, or file and expression where it has no name, texts as (beginning, what is repeated, end)."""

WHOLE = {
    "builtin/pydoc_text._RULE",
    "builtin/pydoc_text._WORD",
    "data/delimited._WITH_TABS",
    'data/delimited. *"([^"]*+(?:""[^"]*+)*+)" *(?=[\\r\\n,]|\\Z)',
    'data/delimited. *"([^"]*+(?:""[^"]*+)*+)" *(?=[\\r\\n;]|\\Z)',
    'data/delimited. *"([^"\\t]*+(?:""[^"\\t]*+)*+)" *(?=[\\r\\n\\t]|\\Z)',
    "moefm/reading._ZEROS",
    "tokenization/foreign._ATOM",
    "tokenization/foreign._UNBOUNDED",
    "moefm_toy/parquet.INDEX",
    "moefm/reading._SIZE",
    "data/delimited._NUMBER",
    "data/delimited._WHOLE",
}
"""Compiled expressions that are matched at one place, or compared with whole texts; all others are searched for."""

CHILD = """
import json, re, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (40, 40))
for name, pattern, flags, whole, (head, unit, tail) in json.load(sys.stdin):
    text = head + unit * (int(sys.argv[1]) // len(unit)) + tail
    print(name, json.dumps([head, unit, tail]), flush=True)
    expression = re.compile(pattern, flags)
    expression.fullmatch(text) if whole else expression.sub("", text)
print("done")
"""


def expressions(path: Path) -> Iterator[tuple[str, str, int, bool]]:
    """Name, pattern, flags and use (True for whole texts) of every regular expression that a file has."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    known: dict[str, Any] = {"re": re}
    names = {}
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            with suppress(Exception):  # constants that patterns are made of; what needs an import is none
                exec(compile(ast.Module([node], []), str(path), "exec"), known)
            [target] = node.targets if isinstance(node, ast.Assign) else [node.target]
            names[id(node.value)] = ast.unparse(target)
    for call in ast.walk(tree):
        function = ast.unparse(call.func) if isinstance(call, ast.Call) else ""
        if not re.fullmatch(r"re\.(?!escape)\w+", function):
            continue
        assert isinstance(call, ast.Call)
        try:
            pattern = eval(ast.unparse(call.args[0]), known)
        except NameError:
            pytest.fail(f"{path}:{call.lineno}: {function} has a pattern that the file alone does not tell")
        given = [*call.args[1:], *(keyword.value for keyword in call.keywords)]
        flags = [eval(ast.unparse(flag), known) for flag in given if ast.unparse(flag).startswith("re.")]
        text = pattern if isinstance(pattern, str) else pattern.decode()
        name = f"{path.parent.name}/{path.stem}.{names.get(id(call), text)}"
        yield name, text, sum(map(int, flags)), name in WHOLE or function == "re.fullmatch"


def test_every_expression_is_linear() -> None:
    pytest.importorskip("resource")
    files = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    found = {name: how for path in files for name, *how in expressions(path)}
    found = {name: how for name, how in found.items() if re.search(r"[*+{]", how[0])}  # what repeats nothing is linear
    known, own = WORST.keys(), found.keys()
    assert known == own, f"expressions without their worst text in WORST: {[*own - known]}; gone: {[*known - own]}"
    work = [(name, *found[name], text) for name in found for text in WORST[name]]
    command = [sys.executable, "-S", "-c", CHILD, str(LENGTH)]
    run = subprocess.run(command, input=json.dumps(work), capture_output=True, text=True)
    assert run.stdout.endswith("done\n"), f"ended at {run.stdout.splitlines()[-1:]}: {run.stderr[-300:]}"
