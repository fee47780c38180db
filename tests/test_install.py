"""The wheel and the sdist in clean environments: what is installed, what imports, what a type checker sees.

What is installed collides with nobody's files: it works beside a user's own cli.py and toy.

The tests that ask a package index run with MOEFM_INSTALL=1 only: they download torch.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import moefm

ROOT = Path(__file__).parents[1]
OURS = {"moefm", "yanlm", "moefm_toy", "moefm_cli"}
EXTRAS = ("lm", "eval", "parquet", "ot", "serve", "lm-eval", "browser", "dev", "docs")
pytestmark = pytest.mark.slow
asks_an_index = pytest.mark.skipif("MOEFM_INSTALL" not in os.environ, reason="downloads torch: set MOEFM_INSTALL=1")


def run(*command: str | Path, cwd: Path | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


def wheel_of(built: Path) -> Path:
    [path] = built.glob("*.whl")
    return path


def python_of(folder: Path) -> Path:
    """The interpreter of a new environment, which has nothing in it."""
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    return folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"


def pip(python: Path, *arguments: str | Path) -> str:
    """Our pip at work in another environment, which is made in a moment where it needs none of its own."""
    return run(sys.executable, "-m", "pip", "--python", python, *arguments)


@pytest.fixture(scope="module")
def python(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment into which the wheel was installed; what it depends on lies in the environment of the tests."""
    python = python_of(tmp_path_factory.mktemp("clean") / "venv")
    pip(python, "install", "--quiet", "--no-index", "--no-deps", wheel_of(built))
    [site] = (python.parents[1]).rglob("site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")  # not followed: .pth files in there
    return python


def test_the_version_stands_in_one_place(built: Path) -> None:
    names = sorted(path.name for path in built.iterdir())
    assert names == [f"moefm-{moefm.__version__}-py3-none-any.whl", f"moefm-{moefm.__version__}.tar.gz"]
    for file in ("pyproject.toml", "CITATION.cff", "mkdocs.yml"):
        assert not re.search(r"^version\s*[:=]", (ROOT / file).read_text(encoding="utf-8"), re.M), file


def test_the_sdist_holds_what_tests_and_docs_need(built: Path) -> None:
    [path] = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"LICENSE", "README.md", "CHANGELOG.md", "constraints.txt", "mkdocs.yml", "tests/test_install.py",
              "docs/assets/katex/LICENSE", "examples/table.ipynb", ".ci/run"}  # fmt: skip
    assert wanted <= names
    assert not [name for name in names if name.split("/")[0] in ("runs", "site", ".venv", ".git")]


def test_builds_are_reproducible(built: Path, tmp_path: Path) -> None:
    """A wheel built from the tree has the bytes of the one that was built from the sdist."""
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT)
    assert wheel_of(tmp_path).read_bytes() == wheel_of(built).read_bytes()


def test_a_clean_environment_gets_our_packages_alone(python: Path, tmp_path: Path) -> None:
    code = "import importlib.metadata as m; print(*m.files('moefm'), sep='\\n')"
    files = run(python, "-c", code, cwd=tmp_path).split()
    tops = {name.split("/")[0] for name in files if ".dist-info" not in name and not name.startswith("..")}
    assert tops == OURS, "a name such as cli or toy would collide with files of a user"
    assert {"moefm/py.typed", "yanlm/py.typed", "moefm_toy/py.typed"} <= set(files)
    page = {f"yanlm/serving/page/{name}" for name in ("page.html", "page.css", "steps.js", "show.js", "ask.js")}
    assert page | {"yanlm/shipped/model.safetensors", "moefm_cli/yanlm/app.py"} <= set(files)


def test_the_commands_run(python: Path, tmp_path: Path) -> None:
    for name in ("moefm", "yanlm"):
        assert moefm.__version__ in run(python.with_name(name), "doctor", cwd=tmp_path)
    field = "import moefm; print(moefm.__file__); moefm.MLPMixtureField(2, 3)"
    assert str(python.parents[1]) in run(python, "-c", field, cwd=tmp_path)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's project with a module and a package that have the names of our folders."""
    (tmp_path / "toy").mkdir()
    for file in ("cli.py", "toy/__init__.py"):
        (tmp_path / file).write_text("raise RuntimeError('a file of the user was imported')\n")
    return tmp_path


BESIDE = """import sys
import moefm_cli.moefm.app, moefm_cli.yanlm.app, moefm_toy.datasets, yanlm.runs.run
assert all(module.__file__.startswith(sys.argv[1]) for module in (moefm_cli, moefm_toy, yanlm))
sys.argv[1:] = ["doctor", "--json"]
moefm_cli.yanlm.app.main()
"""


def test_the_wheel_works_beside_files_of_the_same_names(python: Path, project: Path) -> None:
    assert '"torch"' in run(python, "-c", BESIDE, str(python.parents[1]), cwd=project)
    assert "moons" in run(python, "-m", "moefm_cli.moefm.app", "datasets", cwd=project)


@pytest.mark.parametrize("name", ["python3.11", "python3.12", "python3.13", "python3.14"])
def test_every_python_reads_our_code(built: Path, tmp_path: Path, name: str) -> None:
    """Without torch, which other interpreters seldom have: all files compile without a warning, and moefm is there."""
    code = "import sys, moefm; print(*sys.version_info[:2], moefm.__version__)"
    with zipfile.ZipFile(wheel_of(built)) as archive:
        archive.extractall(tmp_path / "site")
    try:
        assert subprocess.run([name, "-V"], capture_output=True).returncode == 0
    except (OSError, AssertionError):
        pytest.skip(f"no {name}")
    run(name, "-W", "error", "-m", "compileall", "-q", tmp_path / "site")
    assert run(name, "-c", code, cwd=tmp_path / "site").split() == [
        *name.removeprefix("python").split("."),
        moefm.__version__,
    ]


OUTSIDE = """\
import torch
import moefm
from moefm.sklearn import MoEFlow

out = moefm.sample(moefm.MLPMixtureField(2, 3), torch.randn(4, 2), steps=2)
reveal_type(out)
reveal_type(out.nfe)
reveal_type(MoEFlow(n_experts=2))
moefm.MLPMixtureField(dim="two")
"""


def test_a_type_checker_sees_our_types_from_outside(python: Path, tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "user.py").write_text(OUTSIDE)
    others = ",".join(f"{name}.*" for name in ("torch", "numpy", "scipy", "sklearn", "narwhals"))
    (tmp_path / "mypy.ini").write_text(f"[mypy]\n[mypy-{others}]\nfollow_imports = skip\n")  # their types take minutes
    command = [sys.executable, "-m", "mypy", "--python-executable", str(python), "user.py"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    kinds = re.findall(r'Revealed type is "([^"]+)"', found)
    assert [kind.split(".")[-1].rstrip("]") for kind in kinds] == ["Sample", "int", "MoEFlow"], found
    assert re.findall(r"user.py:(\d+): error", found) == ["9"], found


@pytest.mark.parametrize("name", EXTRAS)
def test_extras_name_what_constraints_pin(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = set(re.findall(r"^([\w-]+)==", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M))
    needs = {re.split(r"[^\w-]", text)[0] for text in project["optional-dependencies"][name]} - {"moefm"}
    assert needs <= pinned


@asks_an_index
@pytest.mark.parametrize("extra", EXTRAS)
def test_extras_resolve(built: Path, python: Path, extra: str) -> None:
    wanted = f"{wheel_of(built)}[{extra}]"
    pip(python, "install", "--quiet", "--dry-run", "-c", ROOT / "constraints.txt", wanted)


@asks_an_index
@pytest.mark.parametrize("torch", ["2.11.0", "2.13.0"])
def test_a_minimal_install_trains(built: Path, tmp_path: Path, torch: str) -> None:
    """With the oldest torch that is supported, and with the one that development uses."""
    python = python_of(tmp_path / "venv")
    pip(python, "install", "--quiet", wheel_of(built), f"torch=={torch}")
    pip(python, "check")
    report = run(python.with_name("moefm"), "toy", "--quick", "--json", cwd=tmp_path)
    assert '"w2"' in report
    code = "import yanlm, importlib.util; print(importlib.util.find_spec('transformers'))"
    assert run(python, "-c", code, cwd=tmp_path).strip() == "None"


def test_every_package_stands_on_the_page_of_licences() -> None:
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([\w.-]+) \| \S+ \| ([^|]+) \|", page, re.M))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    listed = extras.keys() - {"mamba", "dev", "docs"}
    needs = [*project["dependencies"], *(text for name in listed for text in extras[name])]
    assert {re.split(r"[^\w-]", text)[0].lower() for text in needs} - {"moefm"} <= set(rows)
    assert not [name for name, licence in rows.items() if "not declared" in licence or len(licence) < 3]
