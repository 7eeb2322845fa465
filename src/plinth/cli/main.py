"""The command `plinth`: a table of verbs, each loaded only when it is called."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from plinth.cli.failure import report
from plinth.kit.errors import PlinthError

# verb -> (module, one line for `plinth --help`), in the order a newcomer needs them.
VERBS: dict[str, tuple[str, str]] = {
    "up": ("node", "Start Plinth on this machine"),
    "status": ("node", "Show every part of it, with age, restarts and memory"),
    "down": ("node", "Stop Plinth and everything it runs"),
    "advise": ("advise", "Ask what an application needs, write its file and plan it"),
    "plan": ("plan", "Say where a workload fits and why; starts nothing"),
    "catalog": ("catalog", "Show the facts and prices that plans use; state your own"),
    "inventory": ("inventory", "State what you own, which plans prefer"),
    "size": ("size", "Size provisioned throughput and burst from a trace of requests"),
    "run": ("workloads", "Run a job from its file"),
    "apply": ("workloads", "Serve a model from an endpoint's file"),
    "list": ("workloads", "List runs and endpoints"),
    "get": ("workloads", "Show one run or endpoint with its plan and history"),
    "logs": ("workloads", "Print what a run, an endpoint or a part of Plinth printed"),
    "stop": ("workloads", "Stop a run or an endpoint"),
    "delete": ("workloads", "Delete an ended run, or an endpoint"),
    "batch": ("batch", "Answer many files by a model, watch it, bring the result"),
    "data": ("datasets", "Add, list, show and compare versions of datasets"),
    "models": ("datasets", "List model versions in the registry"),
    "workspace": ("workspace", "Open and stop workspaces: notebooks in the browser"),
    "flow": ("flow", "Test, trace and evaluate flows"),
    "open": ("open", "Sign a browser in and open one of Plinth's pages"),
    "trace": ("trace", "Show what made a response: model, code, data, people"),
    "lineage": ("trace", "Show what a model or data version came from, and what came of it"),
    "teams": ("identities", "Add and list teams"),
    "members": ("members", "Let people into a team, change their role, let them go"),
    "grants": ("grants", "List, give and take roles"),
    "keys": ("identities", "Make, list and revoke keys"),
    "secrets": ("secrets", "Keep credentials that the platform uses, sealed"),
    "audit-log": ("audit", "Show who did what, when, from where"),
    "gateway": ("gateway", "Watch the gateway: routes, traffic, each request"),
    "usage": ("usage", "Show what was used, by team and workload"),
    "bill": ("bill", "Show what it costs, by team and workload"),
    "prices": ("prices", "List and state prices of what runs here"),
    "tokens": ("tokens", "Say what tokens of a model cost at its provider"),
    "backup": ("upkeep", "Write everything kept here into one file, while it runs"),
    "restore": ("upkeep", "Make an empty home the same as one that was backed up"),
    "upgrade": ("upkeep", "Bring an earlier version's home forward, with a backup"),
    "doctor": ("upkeep", "Try what Plinth promises, and say what to do"),
    "version": ("node", "Print the version"),
}

_EPILOG = "Start with `plinth up --detach`; `plinth VERB --help` explains each verb."


class Verbs(TyperGroup):
    """Load a verb's module when it is asked for, so that `plinth --help` is quick."""

    def list_commands(self, _context: typer.Context) -> list[str]:  # type: ignore[override]
        """Return the verbs in the table's order."""
        return list(VERBS)

    def get_command(self, _context: typer.Context, name: str) -> Any:  # type: ignore[override]
        """Import the verb's module and return its command."""
        if name not in VERBS:
            return None
        return import_module(f"plinth.cli.{VERBS[name][0]}").COMMANDS[name]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Name the nearest verbs where there is none of this name."""
        name = args[0]
        near = get_close_matches(name, VERBS)
        if name not in VERBS and near:
            meant = " or ".join(f"`{each}`" for each in near)
            ctx.fail(f"there is no verb `{name}`. Did you mean {meant}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, _context: Any, formatter: Any) -> None:
        """Write the table without loading anything."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, line) for name, (_, line) in VERBS.items()])


app = Verbs(
    name="plinth",
    help="Declare an AI workload; Plinth plans, runs, serves, governs and measures it.",
    epilog=_EPILOG,
    subcommand_metavar="VERB [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    no_args_is_help=True,
)


def main() -> None:
    """Run the command line; exit 0 when done, 1 when it failed, 2 for bad usage."""
    try:
        app(prog_name="plinth")
    except PlinthError as err:
        report(err)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output (`head`, a pager) has gone; there is nobody to tell.
        sys.stderr.close()
        sys.exit(1)


if __name__ == "__main__":
    main()
