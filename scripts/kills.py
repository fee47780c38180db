"""kill -9 at random moments of a training and a fine-tuning, resumed each time: the weights at the end are the same.

    python scripts/kills.py --kills 200
    python scripts/kills.py --kills 50 --denoiser encoder

Runs of tiny models are killed in every stage and while they are fine-tuned, and resumed after every kill, until all
kills are spent and the last run is done. Prints how many fell where and the largest difference of a weight to the run
that nothing happened to; ends with 1 if there is any.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path

SETTINGS = """
steps1 = 30
steps2 = 30
save_every = 4
log_every = 5
eval_rows = 4
sample_every = 1000
tokenizer = "bpe:300"
[model]
d_model = 32
num_heads = 2
encoder_layers = 1
flow_layers = 1
cross_layers = [0]
num_experts = 2
d_time = 16
max_length = 64
[recipe1]
batch_size = 8
ema = 0.9
[recipe2]
batch_size = 8
"""
ENCODER = {
    "steps2 = 30\n": "",
    "[model]\n": '[model]\ndenoiser = "encoder"\nexperts = "source"\nscope = "span"\n',
    "[recipe2]\nbatch_size = 8\n": "",
}
"""What changes in the settings where the encoder denoises."""
TRAIN = "train --config settings.toml --data texts.txt --device cpu --out {out}"
TUNE = "finetune --model whole/run --task completion --data texts.txt --steps 30 --check-every 6 --check-rows 8"
TUNE += " --eval-rows 8 --batch-size 8 --device cpu --out {out}"
PER_RUN = 10  # kills of one command; a report at its end is done anew after each
Context = multiprocessing.context.ForkServerContext


def command(line: str) -> None:
    """Run the command in this process, silently."""
    import torch

    from moefm_cli.yanlm.app import main

    torch.set_num_threads(1)
    silent = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silent, stream)
    sys.argv = ["yanlm", *line.split()]
    main()


def started(context: Context, line: str) -> BaseProcess:
    process = context.Process(target=command, args=(line,))
    process.start()
    return process


def finished(context: Context, line: str) -> float:
    """Seconds that the command takes when nothing happens to it."""
    began = time.perf_counter()
    process = started(context, line)
    process.join()
    if process.exitcode:
        sys.exit(f"yanlm {line} ended with {process.exitcode}")
    return time.perf_counter() - began


def killed_until_done(
    context: Context, begin: str, out: str, seconds: float, rng: random.Random, most: int
) -> Counter[str]:
    """Kill a command at random moments and resume it, at most so often; it is done at the end. Where the kills fell."""
    kills: Counter[str] = Counter()
    name = begin.split()[0]
    while True:
        there = any((Path(out) / file).exists() for file in ("run.json", "plan.json"))
        process = started(context, f"{name} --resume {out} --device cpu" if there else begin.format(out=out))
        process.join(rng.uniform(0, 0.7 * seconds) if kills.total() < most else None)
        if process.exitcode is not None:
            if process.exitcode:
                sys.exit(f"yanlm {name} into {out} ended with {process.exitcode} after {kills.total()} kills")
            return kills
        process.kill()
        process.join()
        kills[moment(Path(out), name)] += 1


def moment(out: Path, name: str) -> str:
    """What a kill interrupted, by what lies in the folder."""
    saving = "; while a file was written" if any(out.rglob(".saving-*")) else ""
    if name == "finetune":
        return f"fine-tuning{saving}"
    stage = 2 if (out / "stage2").exists() else 1
    return f"stage {stage}{saving}" if (out / "stage1").exists() else "before the first step"


def difference(one: Path, other: Path) -> float:
    """The largest difference between the weights of two runs, over all their models."""
    from safetensors.torch import load_file

    files = sorted(path.relative_to(one) for path in one.rglob("stage*/model.safetensors"))
    largest = 0.0 if files else float("inf")
    for file in files:
        a, b = load_file(one / file), load_file(other / file)
        largest = max(largest, *((a[name].double() - b[name].double()).abs().max().item() for name in a))
    return largest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="how many in all (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default 0)")
    parser.add_argument("--denoiser", choices=("trunk", "encoder"), default="trunk", help="of the flow")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    given = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "MPLBACKEND": "Agg"}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["torch", "transformers", "accelerate", "matplotlib.pyplot", "yanlm.runs.finetuning"]
    )
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        os.chdir(folder)
        settings = SETTINGS
        for old, new in ENCODER.items() if given.denoiser == "encoder" else ():
            settings = settings.replace(old, new)
        Path("settings.toml").write_text(settings)
        Path("texts.txt").write_text(
            "\n".join(f"Text number {i} of many has {i % 7} apples and some." for i in range(300))
        )
        lines = {"run": TRAIN, "tuned": TUNE}
        finished(context, "doctor")  # what the fork server loads first is no part of a run
        seconds = {out: finished(context, line.format(out=f"whole/{out}")) for out, line in lines.items()}
        rng, kills, largest, runs = random.Random(given.seed), Counter[str](), 0.0, 0
        while kills.total() < given.kills:
            for out, line in lines.items():
                here, left = f"killed-{runs}/{out}", min(PER_RUN, given.kills - kills.total())
                kills += killed_until_done(context, line, here, seconds[out], rng, left)
                largest = max(largest, difference(Path("whole") / out, Path(here)))
                print(f"{kills.total()} kills, largest difference {largest:g}", file=sys.stderr)
            runs += 1
    parts = ", ".join(f"{what}: {count}" for what, count in sorted(kills.items()))
    print(json.dumps({"kills": kills.total(), "moments": kills, "runs": 2 * runs, "largest_difference": largest}))
    print(f"{kills.total()} kills ({parts}), {2 * runs} runs: largest difference of a weight {largest:g}")
    sys.exit(largest > 0)


if __name__ == "__main__":
    main()
