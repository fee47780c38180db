"""Opens data sets of the Hugging Face hub as streams, and says within seconds if there is no network."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from moefm.installation import install
from yanlm.data.connection import hub_address, reachable
from yanlm.data.hub_records import outcomes
from yanlm.data.rows import Columns, DataError, Row, columns_wanted

PAPER = (("HuggingFaceFW/finewiki", "en", 0.75), ("HuggingFaceFW/fineweb-edu", "sample-10BT", 0.25))
"""What the paper trains on: data set, configuration, share of the rows (section 5.1 and appendix B.1)."""

_SCRIPT = "it is a script, which datasets no longer runs; "
SCRIPTED = {
    "facebook/babi_qa": f"{_SCRIPT}use hf:Muennighoff/babi",
    "babi_qa": f"{_SCRIPT}use hf:Muennighoff/babi",
    "story_cloze": f"{_SCRIPT}use hf:Ximing/ROCStories, or the CSV file of ROCStories",
    "LSDSem/story_cloze": f"{_SCRIPT}use hf:Ximing/ROCStories, or the CSV file of ROCStories",
}
"""What to use in place of data sets that can no longer be opened."""

SPLITS = ("train", "validation", "valid", "val", "dev", "test")
"""What the splits of a data set are usually called."""


class NoNetworkError(DataError, ConnectionError):
    """A data set that would have to be fetched, without a network."""


class HubData(NamedTuple):
    """A data set opened for streaming, as ``IterableDataset`` objects.

    Attributes:
        spec: Its name, written as ``--data`` takes it.
        train: The split to train on.
        held: Its own splits ``validation`` and ``test``, those that it has.
    """

    spec: str
    train: Any
    held: dict[str, Any]


def open_hub(spec: str) -> HubData:
    """Opens ``hf:NAME[:CONFIG][:SPLIT]``, a data set of the hub, for streaming.

    ``hf:FOLDER`` is one that ``save_to_disk`` wrote, or one of data files. With ``HF_HUB_OFFLINE=1`` the data sets that
    ``load_dataset`` once fetched whole are taken from its cache.

    Raises:
        NoNetworkError: The hub cannot be reached and the data set is not in the cache.
        DataError: There is no such data set, configuration or split.
    """
    name, config, split = _parts(spec)
    folder = Path(name).expanduser()
    local = folder.is_dir()
    offline = is_offline()
    if not local and not offline and not reachable(hub_address()):
        raise _no_network(spec, f"there is no network (no answer from {hub_address()})")
    try:
        import datasets
    except ImportError as error:
        raise DataError(f"{spec}: needs the package datasets; {install('lm')}") from error
    try:
        if local and any((folder / mark).exists() for mark in ("dataset_dict.json", "state.json")):
            loaded = datasets.load_from_disk(str(folder))
        else:
            loaded = datasets.load_dataset(str(folder) if local else name, config, streaming=local or not offline)
    except Exception as error:  # anything: HTTP, gated and missing sets, broken files, scripts it refuses to run
        if offline and not local:
            raise _no_network(spec, "HF_HUB_OFFLINE is set and the cache does not hold it") from error
        if not local and not reachable(hub_address()):
            raise _no_network(spec, "the network went away") from error
        remedy = SCRIPTED.get(name, "check its name and configuration")
        raise DataError(f"{spec}: cannot be opened ({one_line(error)}); {remedy}") from error
    return _chosen(spec, loaded, split)


def _parts(spec: str) -> tuple[str, str | None, str | None]:
    """The name, configuration and split of a hub spec; a lone second part is a split if it is called like one."""
    name = spec.partition(":")[2]
    if os.path.isdir(os.path.expanduser(name)):
        return name, None, None
    parts = name.split(":")
    if not parts[0] or len(parts) > 3:
        raise DataError(f"{spec}: write hf:NAME, hf:NAME:CONFIG, hf:NAME:SPLIT or hf:NAME:CONFIG:SPLIT")
    if len(parts) == 2 and parts[1] in SPLITS:
        return parts[0], None, parts[1]
    dataset, config, split = (part or None for part in (*parts, "", "")[:3])
    return str(dataset), config, split


def _chosen(spec: str, loaded: Any, split: str | None) -> HubData:
    """The split to train on, and the held-out ones of a set that is read whole."""
    import datasets

    if not isinstance(loaded, Mapping):  # a folder written from one split
        loaded = {split or "train": loaded}
    streams = {
        key: part.to_iterable_dataset() if isinstance(part, datasets.Dataset) else part for key, part in loaded.items()
    }
    wanted = split or ("train" if "train" in streams else next(iter(streams), ""))
    if wanted not in streams or (split is None and len(streams) > 1 and "train" not in streams):
        raise DataError(f"{spec}: has no split '{split or 'train'}'; it has {', '.join(map(str, streams)) or 'none'}")
    held = {}
    for part in ("validation", "test"):
        names = [key for key in SPLITS[1:5] if key in streams] if part == "validation" else [part]
        if wanted == "train" and names and names[0] in streams:
            held[part] = streams[names[0]]
    return HubData(spec, streams[wanted], held)


def stream_rows(dataset: Any, columns: Columns = None) -> Generator[list[Row | DataError]]:
    """The rows of each record of a stream in its order, or the fault of a record that holds none.

    Numbers of classes become their names; where the class is unknown (-1) there is no row. The state of ``dataset``
    moves with every record.
    """
    features = getattr(dataset, "features", None) or {}
    column = columns[1] if isinstance(columns, tuple) else "label"
    classes = getattr(features.get(column), "names", None)
    for record in dataset:
        label = record.get(column)
        if classes and isinstance(label, int):
            if label < 0:
                yield []
                continue
            record = {**record, column: classes[label] if label < len(classes) else label}
        yield outcomes(record, columns)


def first_rows(spec: str, dataset: Any, columns: Columns, n: int) -> tuple[list[Row], bool]:
    """The rows of the first records of a stream, at most n of them, and whether it ended before.

    Where every record lacks its label there is no row.

    Raises:
        DataError: It cannot be read, holds nothing, or more of its records are unusable than usable.
    """
    rows: list[Row] = []
    faults: list[DataError] = []
    unlabelled = False
    try:
        for row in stream_rows(dataset, columns):
            unlabelled = unlabelled or not row
            rows += [row for row in row if not isinstance(row, DataError)]
            faults += [row for row in row if isinstance(row, DataError)]
            if len(rows) >= n or len(faults) > n:
                break
        else:
            n = len(rows) + 1
    except Exception as error:  # network, decoding and file errors of many libraries
        raise DataError(f"{spec}: cannot be read ({one_line(error)}); try again, or use a local file") from error
    if len(faults) > len(rows):
        remedy = columns_wanted(columns)
        raise DataError(f"{spec}: {len(faults)} of the first {len(rows) + len(faults)} rows: {faults[0]}; {remedy}")
    if not rows and not unlabelled:
        raise DataError(f"{spec}: holds no row; check its configuration and split")
    return rows[:n], len(rows) < n


def _no_network(spec: str, why: str) -> NoNetworkError:
    remedies = "use a local file, builtin:rooms or builtin:pydoc, or a data set in the cache with HF_HUB_OFFLINE=1"
    return NoNetworkError(f"{spec}: {why}; {remedies}")


def one_line(error: BaseException) -> str:
    """What an error of a library says, on one line and not too long."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."


def is_offline() -> bool:
    """Whether the user forbids the network to data sets: ``HF_HUB_OFFLINE=0`` does not."""
    value = os.environ.get("HF_DATASETS_OFFLINE")  # where it is set it wins, as in the library
    if value is None:
        value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.strip().upper() in {"1", "TRUE", "YES", "ON"}
