"""Time and peak memory of the cross-entropy over a large vocabulary, method by method.

    python benchmarks/vocabulary.py            # the paper's vocabulary, about two minutes on one core, 4 GB
    python benchmarks/vocabulary.py --quick    # a quarter of the vocabulary, seconds
    python benchmarks/vocabulary.py --json     # JSON alone on stdout

Every method runs in a process of its own, since a process never forgets its peak. The peak is what loss and gradients
take beyond the inputs; the gradients themselves are as large as the inputs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any

METHODS = ("full", "chunked", "linear")


def measure(method: str, options: argparse.Namespace) -> dict[str, Any]:
    """Forward and backward pass of the mean loss; runs in the process that is measured."""
    import torch

    from yanlm.nn.cross_entropy import token_cross_entropy

    torch.set_num_threads(options.threads)
    device, dtype = options.device, getattr(torch, options.dtype)
    g = torch.Generator(device).manual_seed(0)

    def normal(*shape: int, scale: float = 1.0) -> torch.Tensor:  # in place: nothing larger than the result
        return torch.empty(shape, device=device, dtype=dtype).normal_(0, scale, generator=g).requires_grad_()

    def run(tokens: int, vocabulary: int, width: int) -> tuple[float, float, float, list[float]]:
        hidden, weight = normal(tokens, width), normal(vocabulary, width, scale=width**-0.5)
        bias = normal(vocabulary, scale=0.1)
        labels = torch.randint(vocabulary, (tokens,), generator=g, device=device)
        before = _peak(device)
        start = _clock(device, options.threads)
        loss = token_cross_entropy(hidden, weight, bias, labels, method=method, chunk=options.chunk).mean()
        middle = _clock(device, options.threads)
        grads = torch.autograd.grad(loss, [hidden, weight, bias])
        end = _clock(device, options.threads)
        values = [float(loss.detach()), *(float(t.norm()) for t in grads)]
        return middle - start, end - middle, _peak(device) - before, values

    run(2, 10, 4)  # loads the kernels
    forward, backward, peak, values = run(options.tokens, options.vocabulary, options.width)
    return {
        "method": method,
        "forward_s": forward,
        "backward_s": backward,
        "peak_mb": peak,
        "values": values,
        "on": f"torch {torch.__version__}, {torch.cuda.get_device_name() if device == 'cuda' else 'CPU'}",
    }


def _clock(device: str, threads: int) -> float:
    """Seconds; on one thread those that the processor spent on this process, so that other work does not count."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
    return time.process_time() if device == "cpu" and threads == 1 else time.perf_counter()


def _peak(device: str) -> float:
    """Most megabytes that this process, or on a GPU its tensors, have taken so far."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def in_own_process(method: str, arguments: list[str]) -> dict[str, Any] | None:
    """The numbers of one method, or ``None`` where it fails, with its last line on stderr."""
    command = [sys.executable, __file__, *arguments, "--worker", method]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(f"{method}: {(done.stderr.strip().splitlines() or ['killed'])[-1]}", file=sys.stderr)
        return None
    print(f"{method}: done", file=sys.stderr)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def table(rows: list[dict[str, Any]]) -> str:
    """A markdown table; ratios are to the first row."""
    lines = [
        "| method | forward s | backward s | time to full | peak MB | peak to full | largest relative difference |",
        "|---|---|---|---|---|---|---|",
    ]
    first = rows[0]
    for row in rows:
        took, full = (r["forward_s"] + r["backward_s"] for r in (row, first))
        difference = max(abs(a - b) / abs(b) for a, b in zip(row["values"], first["values"], strict=True))
        lines.append(
            f"| {row['method']} | {row['forward_s']:.2f} | {row['backward_s']:.2f} | {took / full:.2f} | "
            f"{row['peak_mb']:.0f} | {row['peak_mb'] / first['peak_mb']:.2f} | {difference:.0e} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure each method in a process of its own and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="1024 tokens of 32000 words, width 256")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--vocabulary", type=int, default=128258)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--chunk", type=int, help="rows at a time")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--worker", choices=METHODS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.tokens, options.vocabulary, options.width = 1024, 32000, 256
    if options.worker:
        print(json.dumps(measure(options.worker, options)))
        return
    rows = [row for method in METHODS if (row := in_own_process(method, sys.argv[1:]))]
    if options.json:
        print(json.dumps({**vars(options), "rows": rows}, indent=2))
    elif rows:
        size = f"{options.tokens} tokens, {options.vocabulary} words, width {options.width}, {options.dtype}"
        print(table(rows), f"{size}, {rows[0]['on']}, {options.threads} thread(s)", sep="\n\n")


if __name__ == "__main__":
    main()
