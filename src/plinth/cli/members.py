"""The verb `members`: the people and programs of a team."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from plinth.cli.output import age, note, print_json, print_table
from plinth.cli.session import HomeOption, JsonOption, connect
from plinth.cli.verb import verbs
from plinth.domain.access import Role

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Such as `anna`")]
TeamOption = Annotated[str, typer.Option("--on-team", help="Team that the member belongs to")]


def list_members(
    *,
    on_team: Annotated[str | None, typer.Option(help="Of this team only")] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """List people and programs with their role on their team."""
    with connect(home) as client:
        members = client.members(team=on_team)
    if as_json:
        print_json(members)
        return
    rows = [
        [
            member["team"],
            member["name"],
            member["kind"],
            member["role"],
            member["keys"],
            member["id"],
            age(member["created_at"]),
        ]
        for member in members
    ]
    print_table(
        ["TEAM", "NAME", "KIND", "ROLE", ">KEYS", "PRINCIPAL", ">AGE"],
        rows,
        empty="no members that you may see; `plinth members add NAME --on-team TEAM` makes one",
    )


def add_member(
    name: NameArgument,
    *,
    team: TeamOption,
    role: Annotated[Role, typer.Option(help="On that team")] = Role.VIEWER,
    days: Annotated[
        float, typer.Option(min=0.001, max=365, help="How long the first key holds")
    ] = 30,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Let a person into a team. The first key is printed this once and stored nowhere."""
    with connect(home) as client:
        made = client.add_member(team=team, name=name, role=role.value, days=days)
    if as_json:
        print_json(made)
        return
    sys.stdout.write(made["token"] + "\n")
    until = made["expires_at"][:16]
    note(
        f"`{name}` is {role} of team `{team}`; the key `{made['id']}` holds until {until} and is "
        "not shown again"
    )


def set_role(
    name: NameArgument,
    *,
    team: TeamOption,
    role: Annotated[Role, typer.Option(help="The new role on that team")],
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Give a member another role on its team, for all of its keys."""
    with connect(home) as client:
        changed = client.set_role(team=team, name=name, role=role.value)
    if as_json:
        print_json(changed)
    else:
        note(f"`{name}` is {role} of team `{team}`")


def remove_member(
    name: NameArgument,
    *,
    team: TeamOption,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Let a member go: its keys count no more. What it did stays written."""
    with connect(home) as client:
        answer = client.remove_member(team=team, name=name)
    if as_json:
        print_json(answer)
    else:
        note(f"`{name}` is no member of team `{team}` any more")


COMMANDS = {
    "members": verbs(
        "members",
        list_members,
        {
            "list": list_members,
            "add": add_member,
            "set-role": set_role,
            "remove": remove_member,
        },
        "Let people into a team, change their role, let them go.",
    )
}
