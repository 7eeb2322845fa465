"""The verb `grants`: who has which role on what."""

from __future__ import annotations

from typing import Annotated

import typer

from plinth.cli.output import note, print_json, print_table
from plinth.cli.session import HomeOption, JsonOption, connect
from plinth.cli.verb import verbs
from plinth.domain.access import Role
from plinth.kit.errors import Invalid


def list_grants(*, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """List who has which role on what."""
    with connect(home) as client:
        grants = client.grants()
    if as_json:
        print_json(grants)
        return
    rows = [
        [
            grant["id"],
            grant["name"] or f"team {grant['subject_team']}",
            grant["principal"],
            grant["role"],
            grant["team"] or "the platform",
            grant["resource"] or ("all" if grant["team"] else None),
        ]
        for grant in grants
    ]
    columns = ["GRANT", "WHO", "PRINCIPAL", "ROLE", "TEAM", "WHAT"]
    print_table(columns, rows, empty="no grants that you may see; `plinth grants give` makes one")


def give(
    role: Annotated[
        Role, typer.Argument(metavar="ROLE", help="viewer reads and calls; each role adds to it")
    ],
    *,
    to_team: Annotated[str | None, typer.Option(help="Give it to all of a team")] = None,
    to_principal: Annotated[str | None, typer.Option(help="Give it to one principal (id)")] = None,
    on_team: Annotated[str | None, typer.Option(help="On a team [default: the platform]")] = None,
    endpoint: Annotated[str | None, typer.Option(help="On one endpoint of that team")] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Give a role on the platform, a team or one endpoint."""
    if (to_team is None) == (to_principal is None):
        raise Invalid("give one of `--to-team` and `--to-principal`")
    if endpoint is not None and on_team is None:
        raise Invalid(f"endpoint `{endpoint}` belongs to a team", hint="add `--on-team TEAM`")
    wanted = {
        "role": role.value,
        "principal": to_principal,
        "subject_team": to_team,
        "team": on_team,
        "resource": f"endpoint/{endpoint}" if endpoint else None,
    }
    with connect(home) as client:
        given = client.give(wanted)
    if as_json:
        print_json(given)
    else:
        note(f"granted; `plinth grants take {given['id']}` takes it away")


def take(
    grant_id: Annotated[
        str, typer.Argument(metavar="GRANT", help="Its id, as `plinth grants` shows it")
    ],
    *,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Take a grant away; it acts at once."""
    with connect(home) as client:
        answer = client.take(grant_id)
    if as_json:
        print_json(answer)
    else:
        note(f"grant `{grant_id}` taken away")


COMMANDS = {
    "grants": verbs(
        "grants",
        list_grants,
        {"list": list_grants, "give": give, "take": take},
        "List, give and take roles.",
    )
}
