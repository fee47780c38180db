"""What is installed: names that collide with nobody's, and commands that work beside a user's own cli.py and toy.py."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"moefm", "yanlm", "moefm_toy", "moefm_cli"}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    [path] = folder.glob("*.whl")
    return path


def test_the_wheel_holds_our_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == OURS
    assert {"moefm/py.typed", "yanlm/data/builtin/rooms.py", "moefm_cli/yanlm/app.py"} <= set(names)
    assert {f"yanlm/serving/page/{file}" for file in ("page.html", "page.css", "steps.js", "show.js", "ask.js")} <= set(
        names
    )


@pytest.fixture(params=["file", "package"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A user's project whose files have the names of our folders."""
    for name in ("cli", "toy"):
        file = tmp_path / (f"{name}.py" if request.param == "file" else f"{name}/__init__.py")
        file.parent.mkdir(exist_ok=True)
        file.write_text("raise RuntimeError('a file of the user was imported')\n")
    return tmp_path


def test_the_wheel_works_beside_files_of_the_same_names(wheel: Path, project: Path) -> None:
    installed = project / "site"
    zipfile.ZipFile(wheel).extractall(installed)
    code = """import sys
import moefm_cli.moefm.app, moefm_cli.yanlm.app, moefm_toy.datasets, yanlm.runs.run
assert all(module.__file__.startswith(sys.argv[1]) for module in (moefm_cli, moefm_toy, yanlm))
sys.argv[1:] = ["doctor", "--json"]
moefm_cli.yanlm.app.main()
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(project), str(installed)])}
    command = [sys.executable, "-c", code, str(installed)]
    run = subprocess.run(command, cwd=project, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    assert '"torch"' in run.stdout


def test_the_commands_work_beside_files_of_the_same_names(project: Path) -> None:
    script = Path(sys.executable).with_name("moefm")
    if not script.exists():
        pytest.skip("the command is not installed in this environment")
    environment = {**os.environ, "PYTHONPATH": str(project)}
    run = subprocess.run([script, "datasets"], cwd=project, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    assert "moons" in run.stdout
