"""A hub that is not there, and a network without a proxy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from yanlm.data import hub


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What load_dataset gives by name, and the calls it got: the libraries are real, the network is not."""
    datasets = pytest.importorskip("datasets")
    served: dict[str, Any] = {"calls": []}

    def load_dataset(name: str, config: str | None = None, *, streaming: bool) -> Any:
        served["calls"].append((name, config, streaming))
        if name not in served:
            raise datasets.exceptions.DatasetNotFoundError(f"Dataset '{name}' doesn't exist\non the Hub")
        splits = {
            split: datasets.IterableDataset.from_generator(iter_rows, gen_kwargs={"rows": rows})
            for split, rows in served[name].items()
        }
        return datasets.IterableDatasetDict(splits)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(hub, "reachable", lambda address: True)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return served


def iter_rows(rows: list[Any]) -> Iterator[Any]:
    yield from rows


@pytest.fixture
def plain_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the environment names a proxy or a hub."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("HF_"):
            monkeypatch.delenv(name)
