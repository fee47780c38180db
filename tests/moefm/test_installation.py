"""How an extra is added, from whatever the package was installed from."""

from __future__ import annotations

import json
import re
import shlex
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.requirements import Requirement

from moefm import installation
from moefm.installation import install

ROOT = Path(__file__).parents[2]
ELSEWHERE = "pip install '.[lm]' in a clone of the repository"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Any:
    def tell(origin: object, urls: tuple[str, ...] = ()) -> None:
        text = origin if isinstance(origin, str | None) else json.dumps(origin)
        metadata = SimpleNamespace(get_all=lambda name: list(urls) or None)
        found = SimpleNamespace(read_text=lambda file: text, metadata=metadata)
        monkeypatch.setattr(installation, "distribution", lambda name: found)

    return tell


def test_from_a_clone(installed: Any, tmp_path: Path) -> None:
    clone = tmp_path / "a clone"
    clone.mkdir()
    installed({"url": clone.as_uri(), "dir_info": {}})
    assert shlex.split(install("lm")) == ["pip", "install", f"{clone}[lm]"]
    installed({"url": clone.as_uri(), "dir_info": {"editable": True}})
    assert shlex.split(install("lm,eval")) == ["pip", "install", "-e", f"{clone}[lm,eval]"]


@pytest.mark.parametrize("revision", [None, "v1"])
def test_from_git(installed: Any, revision: str | None) -> None:
    vcs = {"vcs": "git", "commit_id": "0" * 40} | ({"requested_revision": revision} if revision else {})
    installed({"url": "https://host.example/moefm.git", "vcs_info": vcs})
    *pip, wanted = shlex.split(install("lm"))
    assert pip == ["pip", "install"]
    requirement = Requirement(wanted)
    assert requirement.extras == {"lm"}
    assert requirement.url == "git+https://host.example/moefm.git" + ("@v1" if revision else "")


def test_from_a_wheel_as_long_as_it_is_there(installed: Any, tmp_path: Path) -> None:
    wheel = tmp_path / "moefm-0.1.0-py3-none-any.whl"
    wheel.touch()
    installed({"url": wheel.as_uri(), "archive_info": {}})
    assert Requirement(shlex.split(install("lm"))[-1]).url == wheel.as_uri()
    wheel.unlink()
    assert install("lm") == ELSEWHERE
    installed({"url": "https://host.example/moefm.whl", "archive_info": {}})
    assert Requirement(shlex.split(install("lm"))[-1]).url == "https://host.example/moefm.whl"


@pytest.mark.parametrize("written", [None, "no json", "[]", "{}"])
def test_from_who_knows_where(
    installed: Any, written: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed(written)
    assert shlex.split(install("lm"))[-1] == f"{ROOT}[lm]", "the clone that runs"
    monkeypatch.setattr(installation, "CLONE", tmp_path)
    assert install("lm") == ELSEWHERE


def test_where_what_it_came_from_is_gone_the_published_repository_counts(installed: Any, tmp_path: Path) -> None:
    gone = {"url": (tmp_path / "gone.whl").as_uri(), "archive_info": {}}
    installed(gone, ("Documentation, https://docs.example", "Repository, https://host.example/moefm"))
    assert Requirement(shlex.split(install("lm"))[-1]).url == "git+https://host.example/moefm"
    installed(gone, ("Documentation, https://docs.example",))
    assert install("lm") == ELSEWHERE


def test_not_installed_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(installation, "distribution", missing)
    assert shlex.split(install("lm"))[-1] == f"{ROOT}[lm]"


def test_no_message_says_what_cannot_work() -> None:
    wrong = re.compile(r"pip install[^\n]*?['\"]?moefm(\[|['\" ])")
    for folder in ("moefm", "yanlm", "cli", "toy", "docs", "README.md"):
        for file in [ROOT / folder, *(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.md")]:
            if file.is_file() and file.name != "installation.py":
                found = [line for line in file.read_text(encoding="utf-8").splitlines() if wrong.search(line)]
                assert not [line for line in found if "git+" not in line], f"{file}: {found}"
