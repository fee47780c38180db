"""The house: imports point down, no circle between files, no private name across files, tests mirror the tree."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = [
    {"config_keys", "kinds"},
    {"faces", "config", "seeding", "files", "figures"},
    {"data"},
    {"tasks", "tokenization"},
    {"nn"},
    {"objectives", "generation"},
    {"modeling", "training"},
    {"evaluation", "writer"},
    {"analysis"},
    {"runs", "serving"},
    {"studies"},
]
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}
SOURCES = {"moefm": ROOT, "yanlm": ROOT, "moefm_toy": ROOT / "toy", "moefm_cli": ROOT / "cli"}
FILES = {path: base for name, base in SOURCES.items() for path in sorted((base / name).rglob("*.py"))}
MODULES = {path: ".".join(path.relative_to(base).with_suffix("").parts) for path, base in FILES.items()}
PATHS = {module.removesuffix(".__init__"): path for path, module in MODULES.items()}
YANLM = [path for path in FILES if path.is_relative_to(ROOT / "yanlm")]
BELOW = {
    "moefm": {"moefm"},
    "yanlm": {"moefm", "yanlm"},
    "moefm_toy": {"moefm", "moefm_toy"},
    "moefm_cli": {*SOURCES},
}
"""What each package may import of ours."""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


@functools.cache
def nodes(path: Path) -> list[ast.AST]:
    """All nodes of a file, which is read once."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imports(path: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Line, module and names of every import of ours: also under TYPE_CHECKING and inside functions."""
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno} is a relative import"
            if str(node.module).split(".")[0] in SOURCES:
                yield node.lineno, str(node.module), [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in SOURCES:
                    yield node.lineno, alias.name, []


def upward(path: Path, own: str) -> list[str]:
    """Imports of a file of yanlm, in the part ``own``, from parts that are not below it."""
    wrong = []
    for line, module, names in imports(path):
        package, _, rest = module.partition(".")
        if package != "yanlm":
            continue
        for other in {rest.split(".")[0]} if rest else set(names):
            if other != own and LEVEL.get(other, len(ORDER)) >= LEVEL.get(own, -1):
                wrong.append(f"{name_of(path)}:{line} imports {other}")
    return wrong


def part_of(path: Path) -> str:
    return path.relative_to(ROOT / "yanlm").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", [p for p in YANLM if part_of(p) not in ("__init__", "huggingface")], ids=name_of)
def test_imports_point_down(path: Path) -> None:
    assert not upward(path, part_of(path))


@pytest.mark.parametrize(
    "line",
    [
        "if TYPE_CHECKING:\n    from yanlm.modeling.yan import YanModel",
        "def f():\n    import yanlm.runs.run",
        "from yanlm import YanModel",
        "from yanlm.new_part import name",
    ],
)
def test_an_upward_import_is_seen(line: str, tmp_path: Path) -> None:
    file = tmp_path / "file.py"
    file.write_text(line)
    assert upward(file, "data")


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_private_name_crosses_files(path: Path) -> None:
    for line, module, names in imports(path):
        private = [name for name in [*module.split("."), *names] if name.startswith("_") and name != "__version__"]
        assert not private, f"{name_of(path)}:{line} imports {', '.join(private)}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_packages_know_what_is_below_them(path: Path) -> None:
    own = MODULES[path].split(".")[0]
    assert {module.split(".")[0] for _, module, _ in imports(path)} <= BELOW[own]


def test_no_circle_between_files() -> None:
    faces = {path for path in FILES if path.name == "__init__.py"}
    graph = {path: needed(path) - faces for path in FILES if path not in faces}
    while graph:
        free = [path for path, below in graph.items() if not below & graph.keys()]
        assert free, f"files that import each other in a circle: {', '.join(map(name_of, graph))}"
        for path in free:
            del graph[path]


def needed(path: Path) -> set[Path]:
    """Files that a file imports from, a package's own face apart."""
    modules = {f"{module}.{name}" for _, module, names in imports(path) for name in names}
    modules |= {module for _, module, _ in imports(path)}
    return {PATHS[module] for module in modules if module in PATHS} - {path}


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import moefm", "torch numpy transformers datasets matplotlib sklearn"),
        ("import yanlm", "torch transformers datasets matplotlib"),
        ("import yanlm.data", "torch transformers datasets pyarrow pandas"),
        ("from yanlm.data import load_corpus", "torch transformers datasets pyarrow pandas"),
        ("from yanlm.tasks.task import TASKS", "torch transformers datasets pyarrow pandas"),
    ],
)
def test_imports_are_light(statement: str, heavy: str) -> None:
    code = f"import sys; {statement}; print(sorted(set({heavy.split()}) & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stdout + run.stderr


def test_files_and_functions_are_short() -> None:
    long_files = [name_of(path) for path in FILES if len(path.read_text(encoding="utf-8").splitlines()) > 250]
    long_functions = [
        f"{name_of(path)}:{node.name}"
        for path in FILES
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef) and lines_of_code(node) > 60
    ]
    assert not long_files + long_functions


@pytest.mark.parametrize("folder", ["docs", "examples", "moefm", "yanlm", "toy", "cli"])
def test_files_are_small(folder: str) -> None:
    """As pre-commit wants it; the weights of the shipped model are the one exception."""
    large = {
        name_of(path) for path in (ROOT / folder).rglob("*") if path.is_file() and path.stat().st_size > 1000 * 1024
    }
    assert large <= {"yanlm/shipped/model.safetensors"}


TESTS = {"moefm": "moefm", "yanlm": "yanlm", "moefm_toy": "toy", "moefm_cli": "cli"}
"""The folder of tests of each package; below it, they lie as the package's files do."""
UNTESTED = {
    "yanlm/modeling/output.py": "the fields of a result",
    "yanlm/runs/listener.py": "a protocol: its methods do nothing",
}
"""Files that need no tests of their own, and why."""


def has_behaviour(path: Path) -> bool:
    """Whether a file has a public function or class."""
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    [module] = [node for node in nodes(path) if isinstance(node, ast.Module)]
    return any(isinstance(node, definitions) and not node.name.startswith("_") for node in module.body)


def mirror_of(path: Path) -> Path:
    """Where the tests of a source file are."""
    base = FILES[path]
    package, *below = path.relative_to(base).parts
    return ROOT.joinpath("tests", TESTS[package], *below[:-1], f"test_{path.name.lstrip('_')}")


@pytest.mark.parametrize("path", [path for path in FILES if has_behaviour(path)], ids=name_of)
def test_every_file_has_its_tests(path: Path) -> None:
    missing = not mirror_of(path).is_file()
    assert missing == (name_of(path) in UNTESTED), f"{name_of(mirror_of(path))}: write it, or say in UNTESTED why not"


VAGUE = {"found", "one", "each", "made", "thing"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_results_are_named_for_what_they_are(path: Path) -> None:
    names = {node.id for node in nodes(path) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    assert not names & VAGUE


def lines_of_code(function: ast.FunctionDef) -> int:
    """Lines of a function's body after its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
