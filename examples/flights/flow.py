"""The demo's prompt flow: served over the chat model, and asked through the gateway.

An optional extra, as the chat model is: where its packages cannot be installed it is left out.
"""

from __future__ import annotations

from chat import CLIENT, MODEL, try_to_install
from commands import ROOT, has_champion, has_client, plinth

from plinth.runtimes.runtime import load_runtimes

FLOW = ROOT / "examples" / "flow"
NAME = "answers"


def flow() -> None:
    """Serve the flow and ask it, unless the chat model or its packages are not there."""
    reason = why_not()
    if reason:
        print(f"   left out: {reason}", flush=True)
        return
    plinth("apply", str(FLOW / "flow.yaml"))
    plinth("flow", "test", NAME, "--input", "question=What is the capital of France?")


def why_not() -> str | None:
    """Return in one line why the flow cannot be served here, or None."""
    if not has_client("chat-client") or has_champion(MODEL) is None:
        return f"its nodes ask `{MODEL}`, which was left out ({CLIENT.name})"
    runtime = load_runtimes()["promptflow"]
    refused = try_to_install(*runtime.packages) or try_to_install(
        "--no-deps", *runtime.without_dependencies
    )
    return f"its packages cannot be installed here: {refused}" if refused else None
