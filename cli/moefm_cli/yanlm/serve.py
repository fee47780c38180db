"""``yanlm serve``: a model behind HTTP, and the page that asks it."""

from __future__ import annotations

from errno import EACCES, EADDRINUSE
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from moefm.installation import install
from moefm_cli import governor
from moefm_cli.common import Device, UsageError, err, need_extra, pick_device
from moefm_cli.yanlm.generation_options import Precision, check_counts

HELP = """Serve a model on this machine: a page to try it, and an HTTP API.

\b
yanlm serve                              then open http://127.0.0.1:8000
yanlm serve --model runs/yanlm --port 0  another model, any free port (it prints which)
curl http://127.0.0.1:8000/v1/infill -H 'Content-Type: application/json' -d '{"text": "The <mask> ."}'
"""


def serve(
    model: Annotated[
        Path | None, typer.Option(help="Folder of a run, or of one of its stages. Default: the model in the package.")
    ] = None,
    port: Annotated[int, typer.Option(help="Port; 0 takes any free one.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Address. With any other, everyone who can reach it can use the server.")
    ] = "127.0.0.1",
    queue: Annotated[int, typer.Option(help="Largest number of waiting texts; more are refused.")] = 256,
    batch: Annotated[int, typer.Option(help="Largest number of results computed together.")] = 32,
    max_slots: Annotated[int, typer.Option(help="Most tokens to fill for one text, over all samples.")] = 8192,
    max_body: Annotated[int, typer.Option(help="Largest size of a request, in bytes.")] = 65536,
    precision: Precision = "float32",
    device: Device = "auto",
) -> None:
    """Load the model, listen, answer until Ctrl-C."""
    need_extra()
    _need_server()
    check_counts({"queue": queue, "batch": batch, "max_slots": max_slots, "max_body": max_body})
    if not 0 <= port < 2**16:
        raise UsageError(f"--port must be from 0 to 65535, got {port}")
    from yanlm.modeling.io import model_folder

    folder = model_folder(model)  # mistakes are told before torch is loaded
    from yanlm.serving.running import bound, serve

    try:
        listening = bound(host, port)
    except (OSError, UnicodeError) as error:
        other = "--port" if getattr(error, "errno", None) in (EACCES, EADDRINUSE) else "--host"
        raise UsageError(f"cannot listen on {host}, port {port}: {error}; try another {other}") from None
    from yanlm.serving.app import make_app
    from yanlm.serving.guard import LOOPBACK
    from yanlm.serving.limits import Limits
    from yanlm.serving.served import Served, model_name
    from yanlm.writer import Writer

    limits = Limits(queue=queue, batch=batch, slots=max_slots, body=max_body)
    writer = Writer.load(folder, pick_device(device), writing=True, precision=precision)
    writer.write("a <mask>", length=1)  # what is made on first use is made before the first request
    local = host in LOOPBACK
    served = Served(writer, model_name(folder), limits, model)
    app = make_app(served, hosts=LOOPBACK if local else (), between=governor.look)
    address, actual = listening.getsockname()[:2]
    shown = f"http://{f'[{address}]' if ':' in address else address}:{actual}"

    def ready() -> None:
        if not local:
            err.print("note: whoever reaches this address can ask; there is no password", style="dim")
        err.print(f"serving {model_name(folder)} at {shown} (Ctrl-C stops)")

    serve(app, limits, listening, ready)
    err.print("stopped; all that was asked is answered", style="dim")


def _need_server() -> None:
    for name in ("starlette", "uvicorn", "prometheus_client"):
        if find_spec(name) is None:
            raise UsageError(f"yanlm serve needs {name}, which is not installed: {install('serve')}")
