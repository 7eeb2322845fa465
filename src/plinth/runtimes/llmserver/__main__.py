"""Start the server: `python -m llmserver --model DIR --name NAME --version V [--fd 3 | --port N]`.

Exit codes: 0 after SIGTERM or SIGINT, 1 when the model failed while it computed (its state is not
known then, so a new process must begin again), 2 for wrong arguments, 3 when the model cannot be
loaded. The last line on stderr says why.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uvicorn

from .app import Application
from .engine import Engine, Limits, Pipeline
from .errors import NotServable
from .source import read_source

BROKEN = 1
NOT_LOADED = 3

log = logging.getLogger("llmserver")


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop; return the exit code."""
    options = _parse(arguments)
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s %(message)s")
    _leave_path()
    # uvicorn raises the signal again when it has shut down; by default that would kill us.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ignore)
    return asyncio.run(_Service(options).run())


class _Service:
    """The HTTP server and the engine behind it, and how they end."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._listener = _listen(options)
        self._code = 0
        created = int(time.time())
        self._app = Application(options.name, options.version, created)
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._app,
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
        )

    async def run(self) -> int:
        """Answer health checks at once, requests when the model is loaded; return the code."""
        loading = asyncio.create_task(self._load())
        await self._server.serve(sockets=[self._listener])
        # One that still loads is not waited for.
        if loading.done():
            loading.result()
        return self._code

    async def _load(self) -> None:
        loop, options = asyncio.get_running_loop(), self._options
        # Not in a `with`: that would wait for a load that is under way when the server is stopped.
        executor = ThreadPoolExecutor(1, thread_name_prefix="load")
        try:
            source = read_source(Path(options.model))
            pipeline = await loop.run_in_executor(executor, _load_pipeline, options)
        except Exception as err:  # noqa: BLE001 - the model's library may raise anything
            self._end(NOT_LOADED, "does not load", err)
            return
        executor.shutdown()
        limits = Limits(options.max_running, options.max_waiting)
        engine = Engine(pipeline, loop, limits, self._broken)
        engine.start()
        self._app.serve(engine, source)
        log.info("model %s version %s is ready", options.name, options.version)

    def _broken(self, err: BaseException) -> None:
        self._end(BROKEN, "failed", err)

    def _end(self, code: int, what: str, err: BaseException) -> None:
        log.error("the model %s", what, exc_info=err)
        text = " ".join(str(err).split()) or "no message"
        reason = text if isinstance(err, NotServable) else f"{type(err).__name__}: {text}"
        model = f"model `{self._options.name}` version `{self._options.version}`"
        # The platform shows the last line of stderr.
        print(f"error: {model} {what}: {reason}", file=sys.stderr, flush=True)  # noqa: T201
        self._code = code
        self._server.should_exit = True


def _load_pipeline(options: argparse.Namespace) -> Pipeline:
    # By name and not at the top: importing openvino takes a second, and it may itself fail.
    module = importlib.import_module(f"{__package__}.pipeline")
    sizes = module.Sizes(
        context_tokens=options.context_tokens,
        cache_tokens=options.cache_tokens,
        running=options.max_running,
        threads=int(os.environ.get("OMP_NUM_THREADS", "0")),
    )
    pipeline: Pipeline = module.GgufPipeline(Path(options.model), sizes)
    return pipeline


def _listen(options: argparse.Namespace) -> socket.socket:
    """Return the listening socket: the one that was handed over, or a port on loopback."""
    if options.port is None:
        try:
            return socket.socket(fileno=options.fd)
        except OSError as err:
            raise SystemExit(f"error: file descriptor {options.fd} is no socket: {err}") from err
    # With the protocol named, asyncio switches Nagle's delay off (40 ms a piece otherwise).
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", options.port))
    return listener


def _leave_path() -> None:
    """Take the folder of this package off the import path, so that nothing in it can shadow a
    module of the environment's; the package itself is imported and knows its own place.
    """
    folder = str(Path(__file__).resolve().parent.parent)
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or ".") != folder]


def _ignore(_number: int, _frame: Any) -> None:
    """Let the orderly end go on."""


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="llmserver", description=__doc__)
    parser.add_argument("--model", required=True, help="folder with one GGUF file")
    parser.add_argument("--name", required=True, help="the model's name in requests")
    parser.add_argument("--version", required=True, help="the model's version")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--fd", type=int, default=3, help="listening socket (default 3)")
    place.add_argument("--port", type=int, help="TCP port on 127.0.0.1 instead of --fd")
    parser.add_argument("--context-tokens", type=int, default=8192, help="of one request, at most")
    parser.add_argument("--cache-tokens", type=int, default=16384, help="of all that run")
    parser.add_argument("--max-running", type=int, default=Limits.running)
    parser.add_argument("--max-waiting", type=int, default=Limits.waiting)
    parser.add_argument("--keep-alive-s", type=int, default=75, help="idle connections (seconds)")
    parser.add_argument("--grace-s", type=int, default=30, help="to finish requests on SIGTERM")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    exit_code = main()
    logging.shutdown()
    sys.stderr.flush()
    # Not sys.exit: a load or a generation that still runs must not keep a server alive that has
    # finished its work.
    os._exit(exit_code)
