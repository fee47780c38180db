"""Generation on a GPU: as it is, recorded as one CUDA graph, and compiled before it is recorded; tokens are compared.

    python benchmarks/graphs.py --preset paper-transformer --lengths 512 2048 --batch 1 8 64

Weights are random. Without a GPU nothing is recorded, and all ways are the first one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from yanlm.config import YanConfig
from yanlm.generation import cuda_graphs
from yanlm.modeling.yan import YanModel
from yanlm.runs.presets import get_preset

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def seconds(run: Callable[[], Any], repeats: int) -> float:
    """Median time of a call, the device's work included."""
    times = []
    for _ in range(repeats + 2):
        began = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return statistics.median(times[2:])


def ways(model: YanModel, rows: int, length: int, steps: int, compile: bool, repeats: int) -> dict[str, Any]:
    """Milliseconds of each way, tokens a second of the fastest, and the share of tokens that are those of the first."""
    ids = torch.randint(5, 500, (rows, length), device=model.device)
    slots = torch.arange(length, device=model.device).repeat(rows, 1)
    common = {"slots": slots, "steps": steps, "seeds": range(rows)}

    def run(**more: Any) -> Any:
        return model.generate(ids, **common, **more)  # type: ignore[arg-type]

    record, cuda_graphs.can_record = cuda_graphs.can_record, lambda *_: False
    plain, out = run().tokens, {"eager": seconds(run, repeats)}
    noisy = run(device_noise=True).tokens
    cuda_graphs.can_record = record
    same = {}
    for name, compiled in [("graph", False), ("compiled graph", True)][: 1 + compile]:
        cuda_graphs.replays_of(model).limit(most=1, memory=2**36)
        model.prepare_for_generation([(rows + 1, 8, 8)], steps=steps, compile=compiled)  # makes the last one leave
        for _ in range(2):
            run(), run(device_noise=True)
        same[name] = (run().tokens == plain).float().mean().item()
        out[name] = seconds(run, repeats)
        out[f"{name}, noise of the device"] = seconds(lambda: run(device_noise=True), repeats)
        same[f"{name}, noise of the device"] = (run(device_noise=True).tokens == noisy).float().mean().item()
    fastest = rows * length / min(out.values())
    return {"ms": {k: round(1e3 * v, 3) for k, v in out.items()}, "same": same, "tokens_per_second": round(fastest)}


def main() -> None:
    """One line of JSON for each preset, dtype, batch and length."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", nargs="+", default=["paper-transformer"])
    parser.add_argument("--lengths", nargs="+", type=int, default=[512, 2048])
    parser.add_argument("--batch", nargs="+", type=int, default=[1])
    parser.add_argument("--dtype", nargs="+", choices=DTYPES, default=["bfloat16"])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--compile", action="store_true", help="Compile recordings, too: about a minute a line.")
    parser.add_argument("--small", action="store_true", help="Few words and a narrow model, to try this script.")
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for preset in args.preset:
        options = dict(get_preset(preset).model)
        if args.small:
            options |= {"vocab_size": 600, "pad_token_id": 598, "mask_token_id": 599, "d_model": 64, "num_heads": 4}
        torch.manual_seed(0)
        model = YanModel(YanConfig(**options)).to(device).eval()
        for dtype in args.dtype:
            model.to(DTYPES[dtype])
            for rows in args.batch:
                for length in args.lengths:
                    line = ways(model, rows, length, args.steps, args.compile, args.repeats)
                    print(
                        json.dumps({"preset": preset, "dtype": dtype, "batch": rows, "length": length, **line}),
                        flush=True,
                    )


if __name__ == "__main__":
    main()
