"""The command that installs an extra of the package. Every message about a missing package asks here."""

from __future__ import annotations

import json
import shlex
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

CLONE = Path(__file__).resolve().parents[1]


def install(extra: str) -> str:
    """The command that installs an extra from the same place as the package itself.

    No index holds the package yet, so ``pip install "moefm[lm]"`` would find nothing. pip records where a package came
    from: a clone, a git address, or a wheel. If that is gone, the address is taken that ``pyproject.toml`` calls
    ``Repository`` among its URLs, once there is one.

    Args:
        extra: Name of an extra of ``pyproject.toml``; several are separated by commas.

    Returns:
        The command; if nothing is known, what to do in a clone.

    Example:
        >>> print(install("lm"))
        pip install ...[lm]...
    """
    origin = _origin()
    address = str(origin.get("url", ""))
    path = Path(unquote(urlsplit(address).path)) if address.startswith("file:") else None
    if "vcs_info" in origin:
        revision = origin["vcs_info"].get("requested_revision")
        source = f"moefm[{extra}] @ {origin['vcs_info']['vcs']}+{address}" + (f"@{revision}" if revision else "")
    elif path is None:
        source = f"moefm[{extra}] @ {address}" if address else ""
    elif path.is_dir():
        edit = "-e " if origin.get("dir_info", {}).get("editable") else ""
        return f"pip install {edit}{shlex.quote(f'{path}[{extra}]')}"
    else:
        source = f"moefm[{extra}] @ {address}" if path.exists() else ""
    if not source and (published := _published()):
        source = f"moefm[{extra}] @ git+{published}"
    return f"pip install {shlex.quote(source)}" if source else f"pip install '.[{extra}]' in a clone of the repository"


def _origin() -> dict[str, Any]:
    """What pip recorded (PEP 610), or the clone that Python runs from."""
    try:
        written = json.loads(distribution("moefm").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        written = {}
    if isinstance(written, dict) and written:
        return written
    return {"url": CLONE.as_uri()} if (CLONE / "pyproject.toml").is_file() else {}


def _published() -> str:
    """Address of the repository in the package's metadata; empty where they name none."""
    try:
        urls = [entry.partition(", ") for entry in distribution("moefm").metadata.get_all("Project-URL") or ()]
    except PackageNotFoundError:
        return ""
    return next((address for name, _, address in urls if name.lower() == "repository"), "")
