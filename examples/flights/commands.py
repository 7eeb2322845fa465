"""Run the demo's commands, and show each as a person would type it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
HOME = Path(os.environ.get("PLINTH_HOME") or Path.home() / ".plinth").absolute()
DEMO = HOME / "demo"
# uv draws progress bars on a terminal; elsewhere its lists of packages would only be noise.
QUIET = () if sys.stderr.isatty() else ("--quiet",)


def plinth(*arguments: str) -> None:
    """Show a command of ours, then run it."""
    show("plinth", *(shorten(name) for name in arguments))
    subprocess.run([str(BIN / "plinth"), *arguments], check=True, env=clean_environment())


def ask_plinth(*arguments: str) -> Any:
    """Run a command of ours and return its JSON."""
    command = [str(BIN / "plinth"), *arguments, "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=clean_environment())
    return json.loads(done.stdout)


def run(*command: str | Path, keys: dict[str, str] | None = None) -> None:
    """Run another program; its progress goes to the terminal. `keys`: variables only it gets."""
    parts = [str(part) for part in command]
    show(Path(parts[0]).name, *(shorten(part) for part in parts[1:]))
    subprocess.run(parts, check=True, env=clean_environment() | (keys or {}))


def make_client(name: str, requirements: Path) -> Path:
    """Make an environment for a client once; return its Python."""
    folder = DEMO / name
    python = folder / "bin" / "python"
    if not has_client(name):
        run(BIN / "uv", "venv", *QUIET, "--clear", folder)
        install = ("pip", "install", *QUIET, "--python", python, "--requirements", requirements)
        run(BIN / "uv", *install)
        (folder / "ready").touch()
    return python


def has_client(name: str) -> bool:
    """Tell whether the environment of a client was made whole."""
    return (DEMO / name / "ready").exists()


@contextmanager
def minted(name: str, team: str) -> Iterator[str]:
    """Give a key of a team for a block."""
    words = ("keys", "create", name, "--team", team, "--days", "0.04")
    show("plinth", *words)
    made = ask_plinth(*words)
    try:
        yield made["token"]
    finally:
        plinth("keys", "revoke", made["id"])


def address() -> str:
    """Return where the gateway listens."""
    return str(json.loads((HOME / "node.json").read_text())["address"])


def has_champion(model: str) -> dict[str, Any] | None:
    """Return the version of a model that has the alias, if there is one."""
    for known in ask_plinth("models", "list"):
        if known["name"] == model and "champion" in known["aliases"]:
            return dict(known)
    return None


def shorten(path: str) -> str:
    """Return a path as a person in the repository would type it."""
    return path.replace(f"{ROOT}{os.sep}", "").replace(str(HOME), "$PLINTH_HOME")


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
