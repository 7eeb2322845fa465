"""The demo's chat model: registered, served on the CPU, asked by the official `openai` client.

An optional extra: its wheels are not there for every machine. Then the demo says so and goes on.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile

import yaml
from commands import (
    BIN,
    DEMO,
    ROOT,
    address,
    clean_environment,
    has_champion,
    has_client,
    make_client,
    minted,
    plinth,
    run,
)

from plinth.runtimes.runtime import load_runtimes

CHAT = ROOT / "examples" / "chat"
CLIENT = CHAT / "client-requirements.txt"
MODEL = "smollm2"
LONGEST_REASON = 300


def chat() -> None:
    """Serve the model and ask it, unless its packages cannot be installed here."""
    reason = None if has_client("chat-client") else why_not()
    if reason:
        print(f"   left out: its packages cannot be installed here: {reason}", flush=True)
        return
    known = has_champion(MODEL)
    if known is None:
        plinth("run", str(CHAT / "register.yaml"))
    else:
        print(f"   version {known['version']} was registered before and is used again")
    plinth("apply", str(CHAT / "chat.yaml"))
    granted = ("--to-team", "ops", "--on-team", "research", "--endpoint", MODEL)
    plinth("grants", "give", "viewer", *granted)
    python = make_client("chat-client", CLIENT)
    with minted("demo-chat", "ops") as key:
        run(python, CHAT / "ask.py", "--url", f"{address()}/v1", keys={"PLINTH_KEY": key})


def why_not() -> str | None:
    """Install its packages for a trial; return in one line why that fails, or None.

    Plinth takes them from uv's cache then. Without the trial, the job would wait for a network
    that is not there.
    """
    asked = yaml.safe_load((CHAT / "register.yaml").read_text())["environment"]
    runtime = yaml.safe_load((CHAT / "chat.yaml").read_text())["runtime"]
    server = load_runtimes()[runtime].packages
    return (
        try_to_install("--no-deps", *asked["without_dependencies"])
        or try_to_install(*server)
        or try_to_install("--requirements", str(CLIENT))
    )


def try_to_install(*packages: str) -> str | None:
    """Install wheels into a folder that is removed again; return uv's words when it fails."""
    with tempfile.TemporaryDirectory(dir=DEMO) as folder:
        install = ("pip", "install", "--quiet", "--python", sys.executable, "--target", folder)
        done = subprocess.run(
            [str(BIN / "uv"), *install, "--only-binary", ":all:", *packages],
            capture_output=True,
            text=True,
            env=clean_environment() | {"NO_COLOR": "1"},
            check=False,
        )
    if done.returncode == 0:
        return None
    words = " ".join(done.stderr.split()).replace("╰─▶ ", "").removeprefix("× ")
    words = words.removeprefix("error: ")
    return words if len(words) <= LONGEST_REASON else f"{words[:LONGEST_REASON]} ..."
