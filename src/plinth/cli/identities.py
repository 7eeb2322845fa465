"""Verbs on identities: teams with their grants, and keys."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from plinth.cli.output import age, note, print_json, print_table
from plinth.cli.session import HomeOption, JsonOption, connect
from plinth.cli.verb import verbs
from plinth.domain.access import Role
from plinth.kit.errors import Invalid

TeamArgument = Annotated[str, typer.Argument(metavar="TEAM")]


def list_teams(*, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """List the teams that you may see."""
    with connect(home) as client:
        teams = client.teams()
    if as_json:
        print_json(teams)
        return
    rows = [[team["name"], age(team["created_at"])] for team in teams]
    print_table(["TEAM", ">AGE"], rows, empty="you may see no team; ask an operator for a role")


def add_team(name: TeamArgument, *, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """Add a team; its members may read and call what it has."""
    with connect(home) as client:
        team = client.add_team(name)
    if as_json:
        print_json(team)
    else:
        note(f"team `{name}` added; `plinth keys create --team {name} NAME` makes a key for it")


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
            grant["principal"] or f"team {grant['subject_team']}",
            grant["role"],
            grant["team"] or "the platform",
            grant["resource"] or ("all" if grant["team"] else None),
        ]
        for grant in grants
    ]
    print_table(["GRANT", "WHO", "ROLE", "TEAM", "WHAT"], rows, empty="no grants")


def grant(
    role: Annotated[Role, typer.Argument(help="viewer reads and calls; each role adds to it")],
    *,
    to_team: Annotated[str | None, typer.Option(help="Give it to all of a team")] = None,
    to_principal: Annotated[str | None, typer.Option(help="Give it to one principal (id)")] = None,
    on_team: Annotated[str | None, typer.Option(help="On a team [default: the platform]")] = None,
    endpoint: Annotated[str | None, typer.Option(help="On one endpoint of that team")] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Give a role, to a team or a principal, on the platform, a team or one endpoint."""
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
        note(f"granted; `plinth teams revoke {given['id']}` takes it away")


def revoke_grant(
    grant_id: Annotated[str, typer.Argument(metavar="GRANT")],
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


def list_keys(*, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """List the keys that you manage; never the keys themselves."""
    with connect(home) as client:
        keys = client.keys()
    if as_json:
        print_json(keys)
        return
    rows = [
        [
            key["id"],
            key["principal"]["team"],
            key["principal"]["name"],
            key["principal"]["id"],
            "revoked" if key["revoked_at"] else f"until {key['expires_at'][:16]}",
        ]
        for key in keys
    ]
    print_table(
        ["KEY", "TEAM", "NAME", "PRINCIPAL", "STATE"],
        rows,
        empty="no keys; `plinth keys create --team TEAM NAME` makes one",
    )


def create_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who uses it, such as `dashboard`")],
    *,
    team: Annotated[str, typer.Option(help="Team that is charged for what it uses")],
    role: Annotated[Role, typer.Option(help="On that team")] = Role.VIEWER,
    days: Annotated[float, typer.Option(min=0.001, max=365, help="How long it holds")] = 30,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Make a key for a program; it is printed this once and stored nowhere."""
    with connect(home) as client:
        key = client.create_key(team=team, name=name, role=role.value, days=days)
    if as_json:
        print_json(key)
        return
    sys.stdout.write(key["token"] + "\n")
    until = key["expires_at"][:16]
    note(f"key `{key['id']}` for `{name}` of team `{team}` until {until}; it is not shown again")


def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="KEY")],
    *,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Revoke a key; the gateway refuses it at once."""
    with connect(home) as client:
        answer = client.revoke_key(key_id)
    if as_json:
        print_json(answer)
    else:
        note(f"key `{key_id}` revoked")


COMMANDS = {
    "teams": verbs(
        "teams",
        list_teams,
        {
            "list": list_teams,
            "add": add_team,
            "grants": list_grants,
            "grant": grant,
            "revoke": revoke_grant,
        },
        "Add and list teams; give and take roles.",
    ),
    "keys": verbs(
        "keys",
        list_keys,
        {"list": list_keys, "create": create_key, "revoke": revoke_key},
        "Make, list and revoke keys.",
    ),
}
