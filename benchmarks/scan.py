"""Our selective scan beside a plain autograd loop, and our Mamba mixer beside transformers' slow path.

    python benchmarks/scan.py            # under a minute on one core
    python benchmarks/scan.py --quick    # a part of it
    python benchmarks/scan.py --json     # JSON alone on stdout

Read the ratios: both sides of a row run in turn in the same process, and the best of the repeats counts.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from yanlm.nn.mamba import Mamba, kernel_status
from yanlm.nn.selective_scan import selective_scan

# (batch, length, channels, states) of the scan; (batch, length, d_model) of the mixer.
SCANS = [(4, 512, 1024, 16), (4, 512, 128, 16), (64, 64, 128, 16), (1, 2048, 1024, 16)]
QUICK_SCANS = SCANS[:3]
MIXERS = [(2, 64, 64), (2, 256, 64), (2, 512, 64)]
QUICK_MIXERS = MIXERS[:2]


def plain_loop(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """The recurrence as it is written, with every intermediate result kept by autograd."""
    h, ys = x.new_zeros(x.shape[0], *A.shape), []
    for xs, dts, Bs, Cs in zip(x.unbind(1), dt.unbind(1), B.unbind(1), C.unbind(1), strict=True):
        h = torch.exp(dts.unsqueeze(-1) * A) * h + (dts * xs).unsqueeze(-1) * Bs.unsqueeze(1)
        ys.append((h @ Cs.unsqueeze(-1)).squeeze(-1))
    return torch.stack(ys, 1)


def scan_inputs(batch: int, length: int, channels: int, states: int, device: str) -> list[Tensor]:
    """Inputs as a trained mixer has them: step sizes around 0.01 to 0.1, rates 1 to N."""
    g = torch.Generator().manual_seed(0)
    wide, narrow = (batch, length, channels), (batch, length, states)
    x, dt, B, C = (torch.randn(shape, generator=g) for shape in (wide, wide, narrow, narrow))
    dt = torch.nn.functional.softplus(dt - 3)
    A = -torch.arange(1.0, states + 1).repeat(channels, 1)
    return [tensor.to(device).requires_grad_() for tensor in (x, dt, A, B, C)]


def seconds(run: Callable[[], Tensor], leaves: list[Tensor], backward: bool, device: str) -> float:
    """One run, with its backward pass if asked for."""
    start = _clock(device)
    with torch.set_grad_enabled(backward):
        y = run()
        if backward:
            torch.autograd.grad(y, leaves, torch.ones_like(y))
    return _clock(device) - start


def _clock(device: str) -> float:
    """Seconds; on one thread those that the processor spent on this process, so that other work counts less."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.process_time() if device == "cpu" and torch.get_num_threads() == 1 else time.perf_counter()


def compare(
    name: str,
    size: str,
    sides: Sequence[tuple[Callable[[], Tensor], list[Tensor]]],
    repeats: int,
    device: str,
) -> dict[str, Any]:
    """Best seconds of both sides (what to run, what to differentiate), forward alone and with the backward pass."""
    row: dict[str, Any] = {"against": name, "size": size}
    with torch.no_grad():
        a, b = (run() for run, _ in sides)
        row["largest relative difference"] = float((a - b).abs().max() / b.abs().max())
    for label, backward in (("forward", False), ("forward+backward", True)):
        best = [float("inf")] * 2
        for _ in range(repeats):
            for i, (run, leaves) in enumerate(sides):
                best[i] = min(best[i], seconds(run, leaves, backward, device))
        row[label] = {"ours": best[0], "other": best[1], "ratio": best[1] / best[0]}
    print(f"{name} {size}: done", file=sys.stderr)
    return row


def scans(sizes: list[tuple[int, int, int, int]], repeats: int, device: str) -> list[dict[str, Any]]:
    """Our scan beside the plain loop."""
    rows = []
    for size in sizes:
        args = scan_inputs(*size, device)
        sides = [(partial(f, *args), args) for f in (selective_scan, plain_loop)]
        text = "B {} L {} D {} N {}".format(*size)
        rows.append(compare("plain loop", text, sides, repeats, device))
    return rows


def mixers(sizes: list[tuple[int, int, int]], repeats: int) -> list[dict[str, Any]]:
    """Our whole mixer beside transformers' with the same weights, on the CPU."""
    logging.getLogger("transformers").setLevel(logging.ERROR)  # it warns that it is slow; that is the point
    from transformers import MambaConfig
    from transformers.models.mamba.modeling_mamba import MambaMixer

    rows = []
    for batch, length, d_model in sizes:
        torch.manual_seed(0)
        mine = Mamba(d_model)
        theirs = MambaMixer(MambaConfig(hidden_size=d_model, num_hidden_layers=1), 0).eval()
        theirs.load_state_dict(mine.state_dict())
        x = torch.randn(batch, length, d_model, requires_grad=True)
        sides = [(partial(mixer, x), [x, *mixer.parameters()]) for mixer in (mine, theirs)]
        text = f"B {batch} L {length} D {mine.d_inner} N {mine.d_state}"
        rows.append(compare("transformers' mixer", text, sides, repeats, "cpu"))
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """A markdown table."""
    lines = [
        "| against | size | forward: ours / other, ms | ratio | with backward: ours / other, ms | ratio | difference |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row["against"], row["size"]]
        for label in ("forward", "forward+backward"):
            cells += [
                f"{1e3 * row[label]['ours']:.1f} / {1e3 * row[label]['other']:.1f}",
                f"{row[label]['ratio']:.1f}x",
            ]
        lines.append("| " + " | ".join([*cells, f"{row['largest relative difference']:.0e}"]) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer sizes and repeats")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="of the scans")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    repeats = 3 if options.quick else 5
    rows = scans(QUICK_SCANS if options.quick else SCANS, repeats, options.device)
    rows += mixers(QUICK_MIXERS if options.quick else MIXERS, repeats)
    about = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name() if options.device == "cuda" else platform.machine(),
        "threads": options.threads,
        "kernels": kernel_status(),
    }
    if options.json:
        print(json.dumps({**about, "rows": rows}, indent=2))
    else:
        print(table(rows), f"torch {about['torch']}, {about['device']}, {about['threads']} thread(s)", sep="\n\n")


if __name__ == "__main__":
    main()
