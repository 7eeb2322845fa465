"""Show a run, an endpoint and a plan in full."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from plinth.cli.output import age, console, print_table, words

Json = dict[str, Any]
_WELL = ("healthy", "unknown")


def show_run(run: Json, *, of_batch: Callable[[Json], None] | None = None) -> None:
    """Print a run with its plan, its attempts and its history."""
    _heading(f"{run['kind']} {run['name']}", run["id"])
    facts = [
        ("phase", _phase(run)),
        ("team", run["team"]),
        ("created", f"{run['created_at']} by {run['created_by']}"),
        ("took", age(run["started_at"], run["ended_at"]) if run["started_at"] else "-"),
        ("exit code", run["exit_code"]),
        ("calls as", run.get("principal")),
        ("MLflow run", run["tracking_run"]),
        ("code", run["code_digest"]),
        *code_facts(run["code"]),
    ]
    for name, version in run["data"].items():
        described = f"{version['name']}@{version['version']} ({version['rows']:,} rows)"
        facts.append((f"data {name}", described))
    _facts(facts)
    if of_batch is not None:
        of_batch(run)
    _heading("Attempts")
    rows = [
        [
            a["replica"],
            a["number"],
            a["phase"],
            age(a["started_at"], a["ended_at"]),
            a["exit_code"],
            a["isolation"],
            a["reason"],
        ]
        for a in run["attempts"]
    ]
    columns = [">REPLICA", ">ATTEMPT", "PHASE", ">TIME", ">EXIT", ">ISOLATION", "WHY"]
    print_table(columns, rows, empty="none yet")
    show_plan(run["plan"])
    _events(run["events"])


def _phase(run: Json) -> str:
    reason = words(run["reason"])
    if run["message"] == f"is {run['phase']}":
        return str(run["phase"])
    how = run["message"] if reason == run["phase"] else f"{reason}: {run['message']}"
    return f"{run['phase']} ({how})"


def code_facts(code: Json | None) -> list[tuple[str, Any]]:
    """Return what is known of where code came from, as names and values."""
    if code is None:
        return []
    return [
        ("commit", code["commit"]),
        ("branch", code["branch"]),
        ("remote", code["remote"]),
        ("uncommitted", "; ".join(filter(None, (code["diff_digest"], code["note"]))) or "nothing"),
    ]


def state_of(endpoint: Json) -> str:
    """Return `running` for an endpoint that answers, else what became of it, in words.

    `asleep` answers too, once its first worker has started.
    """
    if endpoint["refused"]:
        return "refused"
    if endpoint["ready"]:
        return "asleep" if sleeps(endpoint) else "running"
    states = [health["state"] for _, health in troubles_of(endpoint)]
    return str(states[0]) if states else words(endpoint["reason"])


def sleeps(endpoint: Json) -> bool:
    """Tell whether none of its workers runs, as nobody asks."""
    return any(each["least"] == each["running"] == 0 for each in workers_of(endpoint))


def workers_of(endpoint: Json) -> list[Json]:
    """Return how many workers run, of each deployment that has as many as are asked for."""
    found = (one.get("workers") for one in endpoint["deployments"].values())
    return [each for each in found if each]


def troubles_of(endpoint: Json) -> list[tuple[str, Json]]:
    """Return the deployments elsewhere that do not answer or lack their credential, with why."""
    found = ((name, one["health"]) for name, one in endpoint["deployments"].items())
    return [(name, each) for name, each in found if each and each["state"] not in _WELL]


def health_of(one: Json) -> str:
    """Return how the server of a deployment elsewhere is, in words; of one of our own its phase."""
    health = one["health"]
    if health is None:
        return str(one["phase"])
    return f"{health['state']} for {age(health['since'])}" if health["since"] else health["state"]


def show_endpoint(endpoint: Json) -> None:
    """Print an endpoint with its deployments, its runs, their plans and its history."""
    _heading(f"{endpoint['kind']} {endpoint['name']}")
    addresses = endpoint["addresses"]
    _facts(
        [
            ("state", state_of(endpoint)),
            ("why", endpoint["message"]),
            ("ready", "yes" if endpoint["ready"] else "no"),
            *(("workers", each["words"]) for each in workers_of(endpoint)),
            ("refused", endpoint["refused"]),
            ("team", endpoint["team"]),
            ("protocol", endpoint["protocol"]),
            *((f"{kind} address", address) for kind, address in addresses.items()),
        ]
    )
    _heading("Deployments")
    rows = [
        [
            name,
            served_by(one),
            health_of(one),
            share_of(one),
            one["run"] or one["next"],
            "replaced when ready" if one["run"] and one["next"] else _why(one),
        ]
        for name, one in endpoint["deployments"].items()
    ]
    print_table(["NAME", "SERVED BY", "STATE", ">SHARE", "RUN", "WHY"], rows, empty="none")
    for name, health in troubles_of(endpoint):
        console().print(f"  {name}: {health['hint']}", markup=False)
    for name, one in endpoint["deployments"].items():
        for line in (one.get("form") or {}).get("words", []):
            console().print(f"  {name}: {line}", markup=False)
    _heading("Runs")
    serving = endpoint["serving"].values()
    rows = [
        [
            run["id"],
            run["deployment"],
            _model(run["model"]),
            run["phase"],
            age(run["created_at"]),
            "serves" if run["id"] in serving else run["message"],
        ]
        for run in endpoint["runs"]
    ]
    columns = ["RUN", "DEPLOYMENT", "MODEL", "PHASE", ">AGE", "WHY"]
    print_table(columns, rows, empty="none yet")
    for name, plan in endpoint["plans"].items():
        show_plan(plan, name if len(endpoint["deployments"]) > 1 else "")
    _events(endpoint["events"])


def _why(one: Json) -> str:
    health = one["health"]
    return (
        f"{one['message']}; {health['why']}"
        if health and health["since"]
        else (str(one["message"] if health is None else health["why"]))
    )


def served_by(one: Json) -> str | None:
    """Return what a deployment is: a model's version, or the host that serves it."""
    external = one["external"]
    if external is None:
        return _model(one["model"]) or one.get("code")
    return str(urlsplit(external["url"]).hostname)


def share_of(one: Json) -> str:
    """Return a deployment's share of the requests in words, and of how many it gets copies."""
    share = "the rest" if one["share"] is None else f"{one['share']:g} %"
    if one["mirror"] is None:
        return share
    mirror = f"mirror {one['mirror']:g} %"
    return mirror if one["share"] == 0 else f"{share}, {mirror}"


def _model(model: Json | None) -> str | None:
    return f"{model['name']}/{model['version']}" if model else None


def show_plan(plan: Json, deployment: str = "") -> None:
    """Print every candidate of a plan, of a deployment if named, with each rule's verdict."""
    chosen = plan["chosen"]
    named = f"of {deployment}, " if deployment else ""
    _heading("Plan", f"{named}inputs {plan['inputs_digest'][:12]}")
    for candidate in [chosen, *plan["rejected"]] if chosen else plan["rejected"]:
        mark = "chosen" if candidate is chosen else "rejected"
        offer = candidate["offer"]
        console().print(
            f"{candidate['platform']} / {offer['sku']} / {offer['region']}: {mark}", style="bold"
        )
        rows = [[v["rule"], v["outcome"], v["reason"], v["remedy"]] for v in candidate["verdicts"]]
        print_table(["RULE", "VERDICT", "WHY", "WHAT WOULD CHANGE IT"], rows, empty="no rules")


def _heading(text: str, detail: str = "") -> None:
    console().print(f"\n[bold]{text}[/bold] {detail}")


def _facts(facts: list[tuple[str, Any]]) -> None:
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        if value is not None:
            console().print(f"  {name:<{width}}  {value}", markup=False)


def _events(events: list[Json]) -> None:
    _heading("History")
    rows = [
        [e["at"][:19].replace("T", " "), e["phase"], words(e["reason"]), e["message"]]
        for e in events
    ]
    print_table(["WHEN (UTC)", "PHASE", "REASON", "MESSAGE"], rows, empty="nothing yet")
