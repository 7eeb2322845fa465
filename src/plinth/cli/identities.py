"""Verbs on identities: teams and keys."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from plinth.cli.output import age, note, print_json, print_table
from plinth.cli.session import HomeOption, JsonOption, connect
from plinth.cli.verb import verbs
from plinth.client.client import Json
from plinth.domain.access import Role

TeamArgument = Annotated[str, typer.Argument(metavar="TEAM", help="Such as `research`")]


def list_teams(*, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """List the teams that you may see."""
    with connect(home) as client:
        teams = client.teams()
    if as_json:
        print_json(teams)
        return
    rows = [[team["name"], team["members"], age(team["created_at"])] for team in teams]
    print_table(
        ["TEAM", ">MEMBERS", ">AGE"],
        rows,
        empty="you may see no team; ask an operator for a role",
    )


def add_team(name: TeamArgument, *, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """Add a team; its members may read and call what it has."""
    with connect(home) as client:
        team = client.add_team(name)
    if as_json:
        print_json(team)
    else:
        note(f"team `{name}` added; `plinth members add NAME --on-team {name}` lets a person in")


def list_keys(
    *,
    team: Annotated[str | None, typer.Option(help="Of this team only")] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """List the keys that you manage; never the keys themselves."""
    with connect(home) as client:
        keys = client.keys(team=team)
    if as_json:
        print_json(keys)
        return
    whose = "that you manage" if team is None else f"of team `{team}`"
    rows = [
        [
            key["id"],
            key["principal"]["team"],
            key["principal"]["name"],
            key["principal"]["id"],
            key["label"],
            _state(key),
        ]
        for key in keys
    ]
    print_table(
        ["KEY", "TEAM", "NAME", "PRINCIPAL", "LABEL", "STATE"],
        rows,
        empty=f"no keys {whose}; an operator of a team makes them: "
        f"`plinth keys create --team {team or 'TEAM'} NAME`",
    )


def _state(key: Json) -> str:
    if key["state"] == "revoked":
        return "revoked"
    return f"{'until' if key['state'] == 'valid' else key['state']} {key['expires_at'][:16]}"


def create_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who uses it, such as `dashboard`")],
    *,
    team: Annotated[str, typer.Option(help="Team that is charged for what it uses")],
    role: Annotated[Role, typer.Option(help="On that team")] = Role.VIEWER,
    days: Annotated[float, typer.Option(min=0.001, max=365, help="How long it holds")] = 30,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Make a key for a program. It is printed this once and stored nowhere."""
    with connect(home) as client:
        key = client.create_key(team=team, name=name, role=role.value, days=days)
    if as_json:
        print_json(key)
        return
    sys.stdout.write(key["token"] + "\n")
    until = key["expires_at"][:16]
    note(f"key `{key['id']}` for `{name}` of team `{team}` until {until}; it is not shown again")


def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="Its id, as `plinth keys` shows it")],
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
        {"list": list_teams, "add": add_team},
        "Add and list teams.",
    ),
    "keys": verbs(
        "keys",
        list_keys,
        {"list": list_keys, "create": create_key, "revoke": revoke_key},
        "Make, list and revoke keys.",
    ),
}
