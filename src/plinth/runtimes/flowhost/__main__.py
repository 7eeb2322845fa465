"""Start the host: `python -m flowhost --folder DIR --name NAME [--app MODULE:OBJECT] [--fd 3]`.

Exit codes: 0 after SIGTERM or SIGINT, 2 for wrong arguments, 3 when the flow cannot be loaded
(the last line on stderr says why).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn

from .evaluate import EvaluationError, evaluate
from .host import Host
from .loading import load_app
from .taking import Taking, Terms, say_that_it_takes, terms_of
from .traces import Traces

NOT_LOADED = 3
# Telemetry of the flow's libraries stays off unless somebody turned it on.
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "LANGSMITH_TRACING": "false",
    # It speaks of each node of each request, at length.
    "PF_LOGGING_LEVEL": "WARNING",
}
_AZURE_VERSION = "2024-10-21"
# How long the first request waits for the place of its trace.
_TRACED_S = 3.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop; return the exit code."""
    options = parse(arguments)
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # They would print a line for each request that the flow sends.
    for name in ("httpx", "httpx2"):
        logging.getLogger(name).setLevel("WARNING")
    prepare_process(options.folder)
    # uvicorn raises the signal again when it has shut down; by default that would kill us.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ignore)
    if options.evaluate is not None:
        return _evaluate(options)
    return asyncio.run(_serve(options))


def prepare_process(folder: str) -> None:
    """Make the process what a flow expects: in its folder, with the gateway as its provider."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    point_to_gateway(os.environ)
    _leave_path()
    os.chdir(folder)
    sys.path.insert(0, str(Path(folder).resolve()))


def point_to_gateway(variables: MutableMapping[str, str]) -> None:
    """Let the clients of OpenAI and of Azure OpenAI find the gateway, with the flow's own key."""
    address, key = variables.get("PLINTH_ADDRESS"), variables.get("PLINTH_KEY")
    if address is None or key is None:
        return
    for name, value in {
        "OPENAI_BASE_URL": f"{address}/v1",
        "OPENAI_API_BASE": f"{address}/v1",
        "OPENAI_API_KEY": key,
        "AZURE_OPENAI_ENDPOINT": address,
        "AZURE_OPENAI_API_BASE": address,
        "AZURE_OPENAI_API_KEY": key,
        "OPENAI_API_VERSION": _AZURE_VERSION,
    }.items():
        variables.setdefault(name, value)


def _evaluate(options: argparse.Namespace) -> int:
    """Run the rows to their end; what is wrong with them is told in the last line."""
    asked = json.loads(options.evaluate)
    try:
        return asyncio.run(evaluate(options.folder, options.name, options.app, asked))
    except EvaluationError as err:
        print(f"error: {err}", file=sys.stderr, flush=True)  # noqa: T201 - as below
        return 2
    except (Exception, SystemExit) as err:  # noqa: BLE001 - the flow's own code may raise anything
        logging.getLogger("flowhost").error("the flow did not load", exc_info=err)
        print(  # noqa: T201 - the platform shows the last line of stderr
            f"error: flow `{options.name}` does not load: {said(err)}", file=sys.stderr, flush=True
        )
        return NOT_LOADED


async def _serve(options: argparse.Namespace) -> int:
    traces = Traces(options.name)
    host = Host(options.name, traces)
    terms = terms_of(options.concurrency, options.idle_s, options.least)
    if terms is not None:
        return await _serve_shared(options, host, traces, terms)
    server = uvicorn.Server(_config(options, host))
    loading = asyncio.create_task(_load(options, host, traces, server))
    await server.serve(sockets=[listen(options)])
    await _end(host, traces)
    return loading.result() if loading.done() else 0


async def _serve_shared(
    options: argparse.Namespace, host: Host, traces: Traces, terms: Terms
) -> int:
    """Serve as one of several processes, until there is nothing to do; see `taking.py`."""
    server = _Shared(options, host, traces, terms)
    loading = asyncio.create_task(_load(options, host, traces, server))
    loading.add_done_callback(lambda done: None if done.result() else server.begin())
    # It takes no connection by itself.
    await server.serve(sockets=[])
    await _end(host, traces)
    return loading.result() if loading.done() else 0


class _Shared(uvicorn.Server):
    """A server that takes its connections from a socket which others take from too."""

    def __init__(
        self, options: argparse.Namespace, host: Host, traces: Traces, terms: Terms
    ) -> None:
        super().__init__(_config(options, host))

        async def before_end() -> None:
            await asyncio.to_thread(traces.flush)

        self._taking = Taking(
            listen(options), terms, self._protocol, before_end=before_end, end=self._finish
        )
        self.config.app = self._taking.counted(host)

    def begin(self) -> None:
        """Take connections, and say so."""
        if not self.should_exit:
            self._taking.begin()
            say_that_it_takes()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and finish those that are open."""
        self._taking.close()
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    def _finish(self) -> None:
        self.should_exit = True


async def _end(host: Host, traces: Traces) -> None:
    await host.end()
    await asyncio.to_thread(traces.flush)


def _config(options: argparse.Namespace, host: Host) -> uvicorn.Config:
    return uvicorn.Config(
        host,
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_keep_alive=options.keep_alive_s,
        timeout_graceful_shutdown=options.grace_s,
    )


async def _load(
    options: argparse.Namespace, host: Host, traces: Traces, server: uvicorn.Server
) -> int:
    """Load the flow while health checks are answered already."""
    try:
        app = await asyncio.to_thread(load_app, options.folder, options.app, traces)
        await host.serve(app)
    except (Exception, SystemExit) as err:  # noqa: BLE001 - the flow's own code may raise anything
        logging.getLogger("flowhost").error("the flow did not load", exc_info=err)
        print(  # noqa: T201 - the platform shows the last line of stderr
            f"error: flow `{options.name}` does not load: {said(err)}", file=sys.stderr, flush=True
        )
        server.should_exit = True
        return NOT_LOADED
    if isinstance(server, _Shared):
        # Whoever wakes it waits: also that request is to leave a trace, where MLflow answers.
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(traces.find_experiment), _TRACED_S)
    traces.begin()
    logging.getLogger("flowhost").info("flow %s is ready", options.name)
    return 0


def said(error: BaseException) -> str:
    """Return what an error says, in one line."""
    reason = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {reason}"


def listen(options: argparse.Namespace) -> socket.socket:
    """Return the listening socket: the one that was handed over, or a port on loopback."""
    if options.port is None:
        try:
            return socket.socket(fileno=options.fd)
        except OSError as err:
            raise SystemExit(f"error: file descriptor {options.fd} is no socket: {err}") from err
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", options.port))
    return listener


def _leave_path() -> None:
    """Take the folder of this package off the import path: nothing in it may shadow the flow's."""
    folder = str(Path(__file__).resolve().parent.parent)
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or ".") != folder]
    kept = [part for part in os.environ.pop("PYTHONPATH", "").split(os.pathsep) if part]
    kept = [part for part in kept if os.path.realpath(part) != folder]
    if kept:
        os.environ["PYTHONPATH"] = os.pathsep.join(kept)


def _ignore(_number: int, _frame: Any) -> None:
    """Let the orderly end go on."""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="flowhost", description=__doc__)
    parser.add_argument("--folder", required=True, help="the flow's folder")
    parser.add_argument("--name", required=True, help="the flow's name in addresses")
    parser.add_argument("--app", help="module:object instead of `flow.dag.yaml`")
    parser.add_argument("--evaluate", help="run rows to their end instead: what, in JSON")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--fd", type=int, default=3, help="listening socket (default 3)")
    place.add_argument("--port", type=int, help="TCP port on 127.0.0.1 instead of --fd")
    parser.add_argument("--keep-alive-s", type=int, default=75, help="idle connections (seconds)")
    parser.add_argument("--concurrency", type=int, help="requests at a time, where others share it")
    parser.add_argument("--idle-s", type=float, help="end after so long without a request")
    parser.add_argument("--least", type=int, default=0, help="how many of those never end")
    parser.add_argument("--grace-s", type=int, default=30, help="to finish requests on SIGTERM")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    exit_code = main()
    logging.shutdown()
    sys.stderr.flush()
    # Not sys.exit: threads that the flow left behind must not keep a server alive.
    os._exit(exit_code)
