"""Memory and time of `yanlm train` on a million rows, from the command to the first step, by kind of file.

    python benchmarks/large_files.py --rows 1000000 --kinds txt,txt.gz,jsonl,csv,parquet

Each line is a whole process that trains one step of stage 1 (preset tiny). Memory is the most that is not backed by a
file (RssAnon in /proc, so Linux only): pages of a mapped file are the system's to take back.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

STEP = ("-m", "moefm_cli.yanlm.app")
OPTIONS = ("--stage", "1", "--steps1", "1", "--batch-size", "8", "--eval-rows", "1", "--device", "cpu")


def texts(rows: int, seed: int = 0) -> Iterator[str]:
    """Sentences of some 300 characters from a vocabulary whose words are as frequent as in a language."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("etaoinshrdlucmfw", k=rng.randint(2, 9))) for _ in range(20_000)]
    weights = [1 / (rank + 3) for rank in range(len(words))]
    drawn = rng.choices(words, weights, k=2_000_000)
    for _ in range(rows):
        start = rng.randrange(len(drawn) - 60)
        text = " ".join(drawn[start : start + rng.randint(30, 60)])
        yield f"{text.capitalize()}, {rng.randrange(10**6)}."


def make(folder: Path, kind: str, rows: int) -> Path:
    """A file of so many rows; a csv also has labels."""
    path = folder / f"rows.{kind}"
    if kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"text": list(texts(rows))}), path)
        return path
    packed = kind.endswith(".gz")
    opened = gzip.open(path, "wt", compresslevel=1) if packed else path.open("w", newline="")  # noqa: SIM115
    with opened as file:
        if kind.startswith("csv"):
            table = csv.writer(file)
            table.writerow(["text", "label"])
            table.writerows([text, str(number % 5)] for number, text in enumerate(texts(rows)))
        else:
            for text in texts(rows):
                file.write((json.dumps({"text": text}) if kind.startswith("jsonl") else text) + "\n")
    return path


def measured(command: list[str], log: Path) -> tuple[float, float, float]:
    """Seconds on the clock, seconds of a processor, and megabytes not backed by a file, of a process."""
    start, before, most = time.perf_counter(), os.times(), 0.0
    with log.open("w") as file:
        child = subprocess.Popen(command, stdout=file, stderr=file)
        while child.poll() is None:
            try:
                status = Path(f"/proc/{child.pid}/status").read_text()
            except OSError:
                break
            most = max([most, *(int(x.split()[1]) / 1024 for x in status.splitlines() if x.startswith("RssAnon"))])
            time.sleep(0.05)
    if child.wait():
        sys.exit(f"{' '.join(command)}: {log.read_text()[-2000:]}")
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - start, spent, most


def main() -> None:
    """Make the files, run a command on each, print a table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--kinds", default="txt,txt.gz,jsonl,csv,parquet")
    options.add_argument("--folder", type=Path, help="Where files are kept for the next time.")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print("file | megabytes | seconds | CPU seconds | megabytes of memory")
        for kind in given.kinds.split(","):
            path = folder / f"rows.{kind}"
            path = path if path.exists() else make(folder, kind, given.rows)
            out = ["--out", str(Path(temporary) / kind)]
            wall, spent, most = measured(
                [sys.executable, *STEP, "train", "--data", str(path), *OPTIONS, *out], Path(temporary) / "log"
            )
            print(f"{kind} | {path.stat().st_size / 1e6:.0f} | {wall:.1f} | {spent:.1f} | {most:.0f}", flush=True)


if __name__ == "__main__":
    main()
