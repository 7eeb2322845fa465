"""Start the server: `python -m v2server --model DIR --name NAME --version V [--fd 3 | --port N]`.

Exit codes: 0 after SIGTERM or SIGINT, 2 for wrong arguments, 3 when the model cannot be loaded
(the last line on stderr says why).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uvicorn

from .app import Application, Limits

NOT_LOADED = 3
# Telemetry of the model's libraries stays off unless somebody turned it on.
_QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop; return the exit code."""
    options = _parse(arguments)
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    _leave_path()
    # uvicorn raises the signal again when it has shut down; by default that would kill us.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ignore)
    return asyncio.run(_serve(options))


async def _serve(options: argparse.Namespace) -> int:
    # One thread: most models are not safe to call from several, and batching makes up for it.
    listener = _listen(options)
    executor = ThreadPoolExecutor(1, thread_name_prefix="model")
    limits = Limits(options.max_body_bytes, options.max_batch_rows, options.max_queued)
    app = Application(options.name, options.version, executor, limits)
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        ws="none",
        timeout_keep_alive=options.keep_alive_s,
        timeout_graceful_shutdown=options.grace_s,
    )
    server = uvicorn.Server(config)
    loading = asyncio.create_task(_load(options.model, options.form, app, server))
    await server.serve(sockets=[listener])
    return loading.result() if loading.done() else 0


async def _load(folder: str, form: str | None, app: Application, server: uvicorn.Server) -> int:
    """Load the model in its thread while health checks are answered already."""
    loop = asyncio.get_running_loop()
    try:
        model = await loop.run_in_executor(app.executor, _load_model, folder, form)
    except (Exception, SystemExit) as err:  # noqa: BLE001 - the model's own code may raise anything
        reason = " ".join(str(err).split()) or "no message"
        logging.getLogger("v2server").error("the model did not load", exc_info=err)
        print(  # noqa: T201 - the platform shows the last line of stderr
            f"error: model `{app.name}` version `{app.version}` does not load: "
            f"{type(err).__name__}: {reason}",
            file=sys.stderr,
            flush=True,
        )
        server.should_exit = True
        return NOT_LOADED
    app.serve(model)
    logging.getLogger("v2server").info("model %s version %s is ready", app.name, app.version)
    return 0


def _load_model(folder: str, form: str | None) -> Any:
    # Nearly all that is made meanwhile stays: searching it for garbage would take a fifth more.
    gc.disable()
    # By name and not at the top: importing mlflow takes seconds, and it may itself fail.
    model = importlib.import_module(f"{__package__}.model").Model(folder, form)
    gc.freeze()
    gc.enable()
    return model


def _listen(options: argparse.Namespace) -> socket.socket:
    """Return the listening socket: the one that was handed over, or a port on loopback."""
    if options.port is None:
        try:
            return socket.socket(fileno=options.fd)
        except OSError as err:
            raise SystemExit(f"error: file descriptor {options.fd} is no socket: {err}") from err
    # With the protocol named, asyncio switches Nagle's delay off (40 ms a request otherwise).
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", options.port))
    return listener


def _leave_path() -> None:
    """Take the folder of this package off the import path, so that nothing in it can shadow a
    module of the model's; the package itself is imported already and knows its own place.
    """
    folder = str(Path(__file__).resolve().parent.parent)
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or ".") != folder]
    kept = [part for part in os.environ.pop("PYTHONPATH", "").split(os.pathsep) if part]
    kept = [part for part in kept if os.path.realpath(part) != folder]
    if kept:
        os.environ["PYTHONPATH"] = os.pathsep.join(kept)


def _ignore(_number: int, _frame: Any) -> None:
    """Let the orderly end go on."""


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="v2server", description=__doc__)
    parser.add_argument("--model", required=True, help="MLflow model folder")
    parser.add_argument("--form", help="folder of the model's ONNX form, which then answers")
    parser.add_argument("--name", required=True, help="the model's name in addresses")
    parser.add_argument("--version", required=True, help="the model's version in addresses")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--fd", type=int, default=3, help="listening socket (default 3)")
    place.add_argument("--port", type=int, help="TCP port on 127.0.0.1 instead of --fd")
    parser.add_argument("--max-body-bytes", type=int, default=Limits.body_bytes)
    parser.add_argument("--max-batch-rows", type=int, default=Limits.batch_rows, help="1: no merge")
    parser.add_argument("--max-queued", type=int, default=Limits.queued)
    parser.add_argument("--keep-alive-s", type=int, default=75, help="idle connections (seconds)")
    parser.add_argument("--grace-s", type=int, default=30, help="to finish requests on SIGTERM")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    exit_code = main()
    logging.shutdown()
    sys.stderr.flush()
    # Not sys.exit: threads that the model left behind, or a load that still runs, must not keep
    # a server alive that has finished its work.
    os._exit(exit_code)
