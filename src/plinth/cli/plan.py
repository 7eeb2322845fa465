"""The verb `plan`: where a workload fits, without a server and without starting anything."""

from __future__ import annotations

from plinth.catalog.machine import local_offer
from plinth.catalog.platforms import load_platforms
from plinth.cli.files import check_beside, read_workload
from plinth.cli.output import console, print_json
from plinth.cli.session import JsonOption
from plinth.cli.show import show_plan
from plinth.cli.verb import verb
from plinth.cli.workloads import FileArgument, TeamOption
from plinth.planning.context import Context
from plinth.planning.explain import require_chosen, summary
from plinth.planning.planner import plan as make_plan


def plan(file: FileArgument, *, team: TeamOption = None, as_json: JsonOption = False) -> None:
    """Say where a workload fits, by which rules, and what would change a refusal.

    Needs no running Plinth. Exit code 1 when nothing fits. What only a running node knows (the
    isolation it reaches) is unknown here; `plinth run` and `plinth apply` ask it.
    """
    workload = read_workload(file, team)
    check_beside(workload, file)
    made = make_plan(workload, load_platforms([local_offer()], None), Context())
    if as_json:
        print_json(made.model_dump(mode="json"))
    else:
        show_plan(made.model_dump(mode="json"))
        if made.chosen is not None:
            console().print(f"\n{summary(made)}", markup=False)
    require_chosen(made)


COMMANDS = {"plan": verb(plan, "plan")}
