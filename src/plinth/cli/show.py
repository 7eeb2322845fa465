"""Show a run, an endpoint and a plan in full."""

from __future__ import annotations

from typing import Any

from plinth.cli.output import age, console, print_table, words

Json = dict[str, Any]


def show_run(run: Json) -> None:
    """Print a run with its plan, its attempts and its history."""
    _heading(f"{run['kind']} {run['name']}", run["id"])
    facts = [
        ("phase", _phase(run)),
        ("team", run["team"]),
        ("created", f"{run['created_at']} by {run['created_by']}"),
        ("took", age(run["started_at"], run["ended_at"]) if run["started_at"] else "-"),
        ("exit code", run["exit_code"]),
        ("MLflow run", run["tracking_run"]),
        ("code", run["code_digest"]),
        *code_facts(run["code"]),
    ]
    for name, version in run["data"].items():
        described = f"{version['name']}@{version['version']} ({version['rows']:,} rows)"
        facts.append((f"data {name}", described))
    _facts(facts)
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
    """Return `running` for an endpoint that answers, else what became of it, in words."""
    return "running" if endpoint["ready"] else words(endpoint["reason"])


def show_endpoint(endpoint: Json) -> None:
    """Print an endpoint with its deployments, its plan and its history."""
    _heading(f"endpoint {endpoint['name']}")
    model = endpoint["model"]
    _facts(
        [
            ("state", state_of(endpoint)),
            ("why", endpoint["message"]),
            ("ready", "yes" if endpoint["ready"] else "no"),
            ("team", endpoint["team"]),
            ("address", endpoint["url"]),
            ("model", f"{model['name']} version {model['version']}" if model else None),
        ]
    )
    _heading("Deployments")
    rows = [
        [
            run["id"],
            f"{run['model']['name']}/{run['model']['version']}" if run["model"] else None,
            run["phase"],
            age(run["created_at"]),
            "serves" if run["id"] == endpoint["serving"] else run["message"],
        ]
        for run in endpoint["deployments"]
    ]
    print_table(["RUN", "MODEL", "PHASE", ">AGE", "WHY"], rows, empty="none yet")
    if endpoint["plan"]:
        show_plan(endpoint["plan"])
    _events(endpoint["events"])


def show_plan(plan: Json) -> None:
    """Print every candidate of a plan with what each rule says of it."""
    chosen = plan["chosen"]
    _heading("Plan", f"inputs {plan['inputs_digest'][:12]}")
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
