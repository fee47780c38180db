"""What a run writes before anything is trained: if it dies, its folder is enough to resume it."""

from __future__ import annotations

from pathlib import Path

from yanlm.data.corpus import Corpus
from yanlm.files import filling, pasted, sha256, write_json
from yanlm.runs.record import RUN_FILE, all_finished, read_record, run_head
from yanlm.runs.resuming import check_same_training
from yanlm.runs.settings import RunSettings
from yanlm.runs.setup import make_tokenizer
from yanlm.training.checkpoints import reported


def write_head(settings: RunSettings, corpus: Corpus, out: Path, resume: bool, command: str | None) -> None:
    """Write tokenizer and ``run.json``, or check those of a run that is resumed.

    Args:
        settings: The settings of the run.
        corpus: Rows that a new tokenizer learns from.
        out: Folder of the run.
        resume: Whether the run goes on.
        command: Command line for ``run.json``.

    Raises:
        ValueError: A finished run is to have another rate or length, or its tokenizer was damaged and cannot be made
            again.
    """
    file = out / "tokenizer" / "tokenizer.json"
    record = read_record(out) if resume else run_head(settings, command)
    if resume and all_finished(out, record, settings):
        check_same_training(record, settings, f"another run from it: --init {pasted(out)}")
    known = record.get("tokenizer", {}).get("sha256")
    with reported(out, "writing the tokenizer"):
        if not resume:  # first: it says whose the folder is
            write_json(out / RUN_FILE, record)
        if not resume or not file.is_file() or known not in (None, sha256(file)):
            tokenizer = make_tokenizer(settings, corpus)
            with filling(file.parent, last=file.name) as beside:
                tokenizer.save_pretrained(beside)
        record["tokenizer"] = {"sha256": sha256(file)}
        if known not in (None, record["tokenizer"]["sha256"]):
            raise ValueError(f"{file} was damaged and cannot be made again as it was; bring it back, or begin anew")
        write_json(out / RUN_FILE, record)
