"""README, documentation and examples: code runs, commands exist, links resolve."""

from __future__ import annotations

import functools
import importlib.util
import os
import pkgutil
import re
import shlex
import subprocess
import sys
import tomllib
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import moefm
import moefm.students
import moefm.training
from moefm.solvers import SOLVERS
from yanlm.tasks.task import TASKS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
TEXTS = [*PAGES, ROOT / "CONTRIBUTING.md"]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^(?P=indent)```", re.M | re.S)
MOST_STEPS = 10


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def fences(page: Path, *languages: str) -> Iterator[tuple[int, str]]:
    """Line number of the first line of code, and the code, of every fenced block in one of the languages."""
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        if match["language"] in languages:
            yield text.count("\n", 0, match.start("code")), match["code"]


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder to write in, trainings of a few steps, and nothing left behind in random state or registries."""
    train = moefm.training.fit

    @functools.wraps(train)
    def fit(*args: Any, steps: int = MOST_STEPS, **kwargs: Any) -> moefm.FitResult:
        return train(*args, steps=min(steps, MOST_STEPS), **kwargs)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(moefm, "fit", fit)
    monkeypatch.setattr(moefm.training, "fit", fit)
    monkeypatch.setattr(moefm.students, "fit", fit)
    solvers, tasks = dict(SOLVERS), dict(TASKS)
    with torch.random.fork_rng(devices=[]):
        yield
    SOLVERS.clear()
    SOLVERS.update(solvers)
    TASKS.clear()
    TASKS.update(tasks)


@pytest.mark.parametrize("page", [p for p in PAGES if list(fences(p, "python"))], ids=name_of)
def test_python_blocks_run(page: Path, sandbox: None) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for line, code in fences(page, "python"):
        exec(compile("\n" * line + code, str(page), "exec"), namespace)


@pytest.mark.parametrize("script", EXAMPLES, ids=name_of)
def test_examples_run(script: Path, tmp_path: Path) -> None:
    source = script.read_text(encoding="utf-8")
    assert source.count("\n") < 60
    assert not re.search(r"^(from|import) (moefm_toy|moefm_cli)\b", source, re.M), (
        "examples are projects of somebody else"
    )
    run = subprocess.run(
        [sys.executable, script, "5"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.splitlines()) >= 2
    assert "nan" not in run.stdout
    assert not list(tmp_path.iterdir())


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Every `moefm ...`, `yanlm ...` and `make ...` line of the shell blocks: where it stands, and its words."""
    for page in TEXTS:
        for line, code in fences(page, "bash", "console", "sh"):
            prompt = r"\$ " if re.search(r"^\$ ", code, re.M) else ""  # other lines of such a block are output
            for offset, text in enumerate(code.replace("\\\n", " ").splitlines()):
                text = re.sub(r"(?:accelerate launch|torchrun) .*?\$\(which yanlm\)", "yanlm", text.strip())
                text = re.sub(r"^((?:\$ )?)cat \S+ \| ", r"\1", text)
                found = re.match(prompt + r"(?:\.venv/bin/)?((?:moefm|yanlm|make)(?: .*)?)$", text)
                if found is None:
                    continue
                words = shlex.split(found[1], comments=True)
                end = next((i for i, word in enumerate(words) if re.match(r"[|>&;]", word)), len(words))
                yield f"{name_of(page)}:{line + offset + 1}", words[:end]


def commands() -> dict[str, dict[str, Any]]:
    """Every program and its commands by name."""
    import typer

    from moefm_cli.moefm import app as moefm_app
    from moefm_cli.yanlm import app as yanlm_app

    apps = {"moefm": moefm_app.app, "yanlm": yanlm_app.app}
    return {program: dict(leaves(typer.main.get_command(app).commands)) for program, app in apps.items()}


def leaves(known: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Commands and the groups they are in, by their whole names: `study`, `study steps`."""
    for name, command in known.items():
        yield before + name, command
        yield from leaves(getattr(command, "commands", {}), f"{before}{name} ")


def test_commands_exist() -> None:
    programs = commands()
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.M))
    variables = set(re.findall(r"^([A-Z]+) *\?=", makefile, re.M))
    lines = list(command_lines())
    assert {words[0] for _, words in lines} == {*programs, "make"}
    for where, (program, *words) in lines:
        if program == "make":
            for word in words:
                name, assigned, _ = word.partition("=")
                assert name in (variables if assigned else targets), f"{where}: make knows no {name}"
            continue
        words = [word for word in words if word not in ("-h", "--help")]
        if not words:
            continue
        known = programs[program]
        assert words[0] in known, f"{where}: {program} knows no command {words[0]}"
        depth = 2 if " ".join(words[:2]) in known else 1
        try:
            known[" ".join(words[:depth])].make_context(words[0], words[depth:])  # parses, runs nothing
        except Exception as error:
            pytest.fail(f"{where}: {' '.join(words)}: {error}")


def test_every_option_is_documented() -> None:
    """The tables of options in docs/cli/ hold each option of their command, and no other."""
    pages = "\n".join(page.read_text(encoding="utf-8") for page in sorted((DOCS / "cli").glob("*.md")))
    sections = re.split(r"^## (.+)$", FENCE.sub("", pages), flags=re.M)
    texts = dict(zip(sections[1::2], sections[2::2], strict=True))
    for program, known in commands().items():
        for name, command in known.items():
            if " " in name:
                continue  # with its group
            parameters = [p for each in (command, *getattr(command, "commands", {}).values()) for p in each.params]
            options = {option for p in parameters for option in p.opts if option.startswith("--")}
            text = texts[f"{program} {name}"]
            listed = set(re.findall(r"--[a-z][a-z0-9-]*", " ".join(re.findall(r"^\|([^|]*)\|", text, re.M))))
            if options <= {"--json", "--help"}:  # needs no table
                continue
            assert listed == options - {"--help"}, f"{program} {name}"


@pytest.mark.parametrize("page", [p for p in PAGES if list(fences(p, "toml"))], ids=name_of)
def test_settings_resolve(page: Path) -> None:
    from yanlm.runs.settings import resolve

    for _, code in fences(page, "toml"):
        resolve(tomllib.loads(code))


def slug(heading: str) -> str:
    """The anchor of a heading, as Python-Markdown makes it."""
    plain = re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", heading)
    plain = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def anchors(page: Path) -> set[str]:
    """The anchors of a page: those given with `{ #name }`, else those made from headings."""
    found = set()
    for heading in re.findall(r"^#+ +(.+?) *$", FENCE.sub("", page.read_text(encoding="utf-8")), re.M):
        given = re.search(r"\{ *#([\w.-]+) *\}$", heading)
        found.add(given[1] if given else slug(heading))
    return found


@pytest.mark.parametrize("page", TEXTS, ids=name_of)
def test_links_resolve(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text(encoding="utf-8")))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target}: no such file"
        if DOCS in page.parents:
            assert DOCS in file.parents, f"{target}: leaves the site"
        if anchor:
            assert anchor in anchors(file), f"{target}: no such heading"


@pytest.mark.parametrize("page", TEXTS, ids=name_of)
def test_references_exist(page: Path) -> None:
    for name in re.findall(
        r"\]\[((?:moefm|yanlm|moefm_toy)[\w.]*)\]|^::: ([\w.]+)", page.read_text(encoding="utf-8"), re.M
    ):
        dotted = name[0] or name[1]
        try:
            pkgutil.resolve_name(dotted)
        except (ImportError, AttributeError):
            pytest.fail(f"there is no {dotted}")


def test_every_page_is_in_the_navigation() -> None:
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r"[\w/-]+\.md\b", config))
    assert listed == {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}


@pytest.mark.parametrize("package", ["moefm", "yanlm"])
def test_docstrings_become_markdown(package: str) -> None:
    griffe = pytest.importorskip("griffe", reason="needs the docs extra")
    spec = importlib.util.spec_from_file_location("rst", DOCS / "_extensions" / "rst.py")
    assert spec is not None and spec.loader is not None
    rst = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rst)

    def texts(obj: Any) -> Iterator[str]:
        if obj.docstring is not None:
            yield obj.docstring.value
        for member in obj.members.values():
            if not member.is_alias:
                yield from texts(member)

    loaded = griffe.load(package, search_paths=[str(ROOT)], extensions=griffe.load_extensions(rst.RstToMarkdown))
    everything = "\n".join(texts(loaded))
    assert "$$" in everything
    assert not re.search(r":[a-z]+:`|^ *\.\. \w+::|^ *Example:$", everything, re.M)
