"""The verb `gateway`: how it stands, which address goes where, requests, what copies got."""

from __future__ import annotations

import json
import sys
import time
from typing import Annotated, Any

import typer
from rich.text import Text

from plinth.cli.output import age, console, note, print_json, print_table
from plinth.cli.session import HomeOption, JsonOption, connect
from plinth.cli.verb import group
from plinth.kit.errors import Temporary

Json = dict[str, Any]

_POLL_S = 0.5
_OURS, _CALLERS = 500, 400
# So much of an answer is shown, and so much of it before where another one differs.
_SHORT, _BEFORE = 60, 20


def status(*, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """Show what it runs, what it refused, and the last minute's traffic."""
    with connect(home) as client:
        found = client.gateway()
    if as_json:
        print_json(found)
        return
    shown = console()
    state = "running" if found["is_running"] else "not running"
    version = found["version"] or "none yet"
    pending = "" if found["is_settled"] else " (another one is being handed over)"
    shown.print(f"The gateway is {state}; configuration {version}{pending}")
    for listener in found["listeners"]:
        shown.print(f"  listens: {listener}")
    guard = "; the guard counts tokens" if found["is_guarded"] else ""
    shown.print(
        f"  {found['ready_endpoints']} of {found['endpoints']} endpoints ready, "
        f"{found['deployments']} deployments{guard}\n"
    )
    rows = [_traffic(name, each) for name, each in found["by_endpoint"].items()]
    if rows:
        rows.append(_traffic("ALL", found["traffic"]))
    print_table(
        ["ENDPOINT", ">REQUESTS/S", ">ERRORS", ">SPILLED", ">INPUT TOKENS", ">OUTPUT TOKENS"],
        rows,
        empty="no endpoint was asked anything in the last minute",
    )
    _complain(found)


def routes(*, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """Show which address goes where, who serves it, and limits."""
    with connect(home) as client:
        found = client.gateway_routes()
    if as_json:
        print_json(found)
        return
    rows = []
    for route in found:
        first = [route["endpoint"], route["team"], route["protocol"]]
        deployments = route["deployments"] or [None]
        for number, each in enumerate(deployments):
            rows.append(
                [
                    *(first if number == 0 else ["", "", ""]),
                    *(
                        [each["name"], each["part"], each["where"]]
                        if each
                        else ["-", "nothing is ready", ""]
                    ),
                    "; ".join(route["limits"]) if number == 0 else "",
                ]
            )
    print_table(
        ["ENDPOINT", "TEAM", "PROTOCOL", "DEPLOYMENT", "PART", "WHERE", "LIMITS"],
        rows,
        empty="no endpoint that you may see; `plinth apply FILE` makes one",
    )
    for route in found:
        note(f"`{route['endpoint']}`: {' and '.join(route['addresses'])}")


def pairs(
    endpoint: Annotated[str, typer.Argument(help="An endpoint with `mirror`")],
    *,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Compare sampled answers with what the copies got.

    Of mirrored requests one in 64 is kept with both answers, the newest some hundred.
    """
    with connect(home) as client:
        found = client.gateway_pairs(endpoint)
        routes = [] if found else client.gateway_routes()
    if as_json:
        print_json(found)
        return
    rows = [
        [
            each["id"],
            "same" if each["same"] else each["difference"],
            *_beside(each),
        ]
        for each in found
    ]
    empty = _why_no_pairs(endpoint, routes)
    print_table(["REQUEST", "COMPARED", "ANSWER", "COPY'S ANSWER"], rows, empty=empty)
    if found:
        same = sum(each["same"] for each in found)
        note(f"{same} of {len(found)} are the same; `--json` shows them whole")


def _why_no_pairs(endpoint: str, routes: list[Json]) -> str:
    """Say what keeps pairs of answers from coming."""
    route = next((each for each in routes if each["endpoint"] == endpoint), None)
    if route is not None and not route["mirror"]:
        return (
            f"`{endpoint}` has no `mirror`, so nothing is compared; `mirror: {{NAME: 100}}` in its "
            "file sends copies of its requests to a deployment"
        )
    if route is None or not route["ready"]:
        return f"no deployment of `{endpoint}` is ready, so nothing is compared"
    if route["compared"] is None:
        return (
            f"nothing of `{endpoint}` is compared: that needs one deployment that serves all of "
            "its requests, and a copy that is ready"
        )
    return f"no pair of answers of `{endpoint}` is kept yet: one mirrored request in 64 is"


def _beside(pair: Json) -> tuple[str, str]:
    """Write what both answers say on a line each, from shortly before where they differ."""
    texts = [" ".join(pair[name].split()) for name in ("answer_content", "shadow_content")]
    places = enumerate(zip(*texts, strict=False))
    alike = next((place for place, (one, other) in places if one != other), min(map(len, texts)))
    is_late = alike > _SHORT // 2 and texts[0] != texts[1]
    begin = alike - _BEFORE if is_late else 0
    answer, copy = (_cut(text, begin) for text in texts)
    return _said(pair["status"], answer), _said(pair["shadow_status"], copy)


def _cut(text: str, begin: int) -> str:
    part = text[begin : begin + _SHORT]
    return f"{'...' if begin else ''}{part}{'...' if begin + _SHORT < len(text) else ''}"


def _said(status: int, line: str) -> str:
    """Put its code before what is no success."""
    return line if status < _CALLERS else f"{status}: {line}"


def tail(
    *,
    endpoint: Annotated[str | None, typer.Option(help="Only of this endpoint")] = None,
    team: Annotated[str | None, typer.Option(help="Only what this team asked")] = None,
    last: Annotated[int, typer.Option(min=1, max=1000, help="So many to begin with")] = 10,
    once: Annotated[bool, typer.Option("--once", help="Do not wait for more")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line")] = False,
    home: HomeOption = None,
) -> None:
    """Show requests as they come, also refused ones.

    These are the teams whose usage you may see. A refused request is of no endpoint, and of no
    team where its key is missing, expired or none of this Plinth's. Ctrl-C ends it.
    """
    with connect(home) as client:
        page = client.gateway_tail(endpoint=endpoint, team=team, limit=last)
        _print(page["requests"], as_json=as_json)
        while not once:
            time.sleep(_POLL_S)
            try:
                page = client.gateway_tail(endpoint=endpoint, team=team, after=page["cursor"])
            except Temporary as err:
                note(f"{err.message}; trying again")
                continue
            _print(page["requests"], as_json=as_json)


def _print(requests: list[Json], *, as_json: bool) -> None:
    if as_json:
        for each in requests:
            sys.stdout.write(json.dumps(each) + "\n")
        sys.stdout.flush()
        return
    shown = console()
    for each in requests:
        shown.print(_line(each), soft_wrap=True)


def _line(request: Json) -> Text:
    """Write one request: when, how it ended, whose, where, how long, how many tokens."""
    code = request["code"]
    style = "red" if code == 0 or code >= _OURS else "yellow" if code >= _CALLERS else "green"
    line = Text(f"{request['at'][11:23]} ")
    line.append(f"{code or '---'}", style=style)
    line.append(f" {request['team'] or '-'} {request['endpoint'] or '-'}")
    # What was refused before has gone to nobody.
    if request["deployment"] and request["attempts"]:
        line.append(f" -> {request['deployment']}")
    line.append(f" {request['method']} {request['path']} {_duration(request)}")
    if request["input_tokens"] is not None:
        about = "~" if request["estimated"] else ""
        line.append(f" {about}{request['input_tokens']:,}+{request['output_tokens'] or 0:,} tokens")
    if request["attempts"] > 1:
        line.append(f" attempt {request['attempts']}{', spilled' if request['spilled'] else ''}")
    if request["why"]:
        line.append(f" ({request['why']})", style="dim")
    line.append(f" {request['id']}", style="dim")
    return line


def _duration(request: Json) -> str:
    first = request["first_ms"]
    begun = f", first after {first} ms" if first is not None else ""
    return f"{request['duration_ms']} ms{begun}"


def _traffic(name: str, traffic: Json) -> list[Any]:
    return [
        name,
        f"{traffic['requests_per_second']:,.2f}",
        _share(traffic["errors"], traffic["error_share"]),
        _share(traffic["spilled"], traffic["spilled_share"]),
        f"{traffic['input_tokens']:,}",
        f"{traffic['output_tokens']:,}",
    ]


def _share(number: int, share: float | None) -> str:
    return f"{number:,} ({share:.1%})" if number and share is not None else ""


def _complain(found: Json) -> None:
    """Say on stderr what is not as it should be."""
    if found["envoy_error"]:
        note(found["envoy_error"])
    if found["error"]:
        note(f"the gateway cannot take what is new now, and goes on as it is: {found['error']}")
    for name, each in found["unhealthy"].items():
        note(f"`{name}` is unhealthy for {age(each['since'])}: {each['why']}")
    for name, why in found["credentials"].items():
        note(f"`{name}` has no new credential: {why}")
    for name, refused in found["refused"].items():
        note(f"Envoy refuses `{name}`, which stays as it was: {refused['reason']}")


COMMANDS = {
    "gateway": group(
        "gateway",
        {"status": status, "routes": routes, "tail": tail, "pairs": pairs},
        "Watch the gateway: how it stands, which address goes where, each request as it comes.",
    ),
}
