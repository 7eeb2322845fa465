"""A backup of a Plinth in full use becomes another home that is the same, at another port."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from plinth.gateway.access_log import parse
from plinth.kit.errors import Conflict, Unauthenticated
from plinth.kit.home import Home
from plinth.metering.ledger import Ledger
from plinth.tracking.server import MLFLOW_SCHEMA
from plinth.upkeep.progress import say_nothing
from plinth.upkeep.restore import restore
from plinth.upkeep.upgrade import _upgrade_tracking, upgrade
from tests.journeys.plinth_node import Caller, Plinth, infer, running_plinth, wait_for, y_of

TEAM = "research"
# `plinth usage` shows three digits of each of two sums.
ROUNDING_S = 0.001


@dataclass
class Before:
    """What was seen of the first home, and what its users hold."""

    file: Path
    made: dict[str, Any]
    key: str
    revoked: str
    job: str
    deployment: str
    # Answered before the backup began, and until it had ended.
    answered: list[str] = field(default_factory=list)
    all_answered: list[str] = field(default_factory=list)
    records: list[Any] = field(default_factory=list)
    usage: list[dict[str, Any]] = field(default_factory=list)
    model: dict[str, Any] = field(default_factory=dict)
    train_bill: dict[str, Any] = field(default_factory=dict)
    trace: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module")
def before(
    managed_environments: Path,
    free_port: Callable[[], int],
    tmp_path_factory: pytest.TempPathFactory,
) -> Before:
    """Fill a home, back it up while a job runs and requests flow, and stop it for good."""
    file = tmp_path_factory.mktemp("backup") / "plinth.tar"
    with running_plinth(managed_environments, free_port(), teams=[TEAM]) as plinth:
        table = Path(tempfile.mkdtemp(prefix="pl-")) / "numbers.csv"
        table.write_text("a,b\n1,2\n3,4\n")
        plinth.cli("data", "add", "numbers", str(table), "--team", TEAM)
        plinth.train(TEAM, "2")
        job = plinth.submit("waits", "python", "waits.py", team=TEAM, attempts=2)
        plinth.wait_for_line(job, "waiting")
        served = plinth.serve("scale", "models:/scale@champion", team=TEAM)
        key = plinth.key(TEAM)
        revoked = plinth.client.create_key(team=TEAM, name="lost", role="viewer", days=1.0)
        plinth.client.revoke_key(revoked["id"])
        caller = Caller(plinth.http(key), "scale")
        with caller:
            caller.wait_for_answers(20)
            # Metering is a second behind; what was answered long enough ago is in the ledger.
            answered = list(caller.ids)
            seen = Ledger(plinth.home.ledger)
            wait_for(lambda: seen.find_request(answered[-1]), "the ledger to have them")
            made = plinth.cli("backup", str(file), "--json").json
            caller.wait_for_answers(5)
        assert caller.failed == []
        wait_for(lambda: seen.find_request(caller.ids[-1]), "the ledger to have all")
        found = Before(
            file=file,
            made=made,
            key=key,
            revoked=revoked["token"],
            job=job,
            deployment=served["serving"]["main"],
            answered=answered,
            all_answered=list(caller.ids),
            records=seen.records(),
            usage=plinth.client.usage(),
            model=plinth.client.models()[0],
            train_bill=bill_of(plinth, "job/train"),
            trace=plinth.client.trace(answered[0]),
        )
        seen.close()
    return found


@pytest.fixture(scope="module")
def restored(
    before: Before, managed_environments: Path, free_port: Callable[[], int]
) -> Iterator[Plinth]:
    """Restore the backup into another home and start it at another port."""
    home = Home(Path(tempfile.mkdtemp(prefix="pl-")) / "again")
    plinth = Plinth(home, free_port())
    said = plinth.cli("restore", str(before.file), "--home", str(home.root))
    assert f"restored {home.root}" in said.err
    # Environments are made again from their packages; tests share them.
    home.environments.symlink_to(managed_environments)
    try:
        plinth.up()
        yield plinth
    finally:
        plinth.close()
        done = plinth.cli("down", "--force", check=False)
        assert done.code == 0, done.err


def bill_of(plinth: Plinth, workload: str) -> dict[str, Any]:
    """Return what one workload costs, with every multiplication."""
    lines = plinth.client.bill(by="workload")["lines"]
    (line,) = [each for each in lines if each["workload"] == workload]
    # A bill of this month goes up to now; who gets the last of the twelve decimals, so that all
    # lines sum, depends on the other lines.
    parts = [
        {**{name: part[name] for name in part.keys() - {"to"}}, "exact": part["exact"][:-2]}
        for part in line["parts"]
    ]
    return {**line, "exact": line["exact"][:-2], "parts": parts}


def requests_in(records: list[Any]) -> dict[str, Any]:
    return {each.request_id: each for each in records if each.meter.value == "requests"}


def test_the_backup_is_private_whole_and_tells_what_is_in_it(before: Before) -> None:
    made = before.made
    assert before.file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in before.file.parent.iterdir()] == [before.file.name]
    assert (made["missing"], made["store"]) == ([], "sqlite")
    counts = made["counts"]
    assert counts["store"]["data_version"] == 1
    assert counts["store"]["endpoint"] == 1
    assert counts["tracking"]["model_versions"] == 1
    assert counts["ledger"]["usage"] >= len(before.answered)


def test_it_serves_again_with_the_same_keys(before: Before, restored: Plinth) -> None:
    wait_for(lambda: restored.client.endpoint("scale")["ready"], "the endpoint being ready")
    client = restored.http(before.key)
    wait_for(lambda: infer(client, "scale", 1.0).status_code == 200, "an answer")
    assert y_of(infer(client, "scale", 21.0).json()) == 42.0
    assert infer(restored.http(before.revoked), "scale", 1.0).status_code == 401
    with pytest.raises(Unauthenticated):
        restored.client_of(before.revoked).teams()


def test_every_request_is_counted_once_as_it_was(before: Before, restored: Plinth) -> None:
    """All that was answered before is there; what is there is what the first home counted."""
    with closing(Ledger(restored.home.ledger)) as ledger:
        logged = [
            each.request_id
            for path in restored.home.gateway.glob("access.log*")
            for each in parse(path.read_bytes())[0]
        ]
        known = set(before.all_answered) & set(logged)
        wait_for(
            lambda: known <= requests_in(ledger.records()).keys(), "the logs to be read to the end"
        )
        found = requests_in(ledger.records())
        (gap,) = [each for each in ledger.gaps() if each.source == "restore"]
    old = requests_in(before.records)
    assert set(before.answered) <= known
    for each in known:
        assert found[each] == old[each]
    assert "restored from a backup" in gap.reason


def test_what_ran_was_counted_up_to_when_it_was_last_seen(before: Before, restored: Plinth) -> None:
    with closing(sqlite3.connect(restored.home.database)) as connection:
        rows = connection.execute(
            "select run, number, phase, started_at, seen_at, ended_at, reason from attempt "
            "where number = 1 and run in (?, ?)",
            (before.job, before.deployment),
        ).fetchall()
    assert len(rows) == 2
    for _, _, phase, started_at, seen_at, ended_at, reason in rows:
        assert (phase, ended_at) == ("failed", seen_at or started_at)
        assert "this node knows nothing of it" in reason
    old = {(row["team"], row["workload"]): row for row in before.usage}
    with closing(Ledger(restored.home.ledger)) as ledger:

        def used(meter: str) -> float:
            quantities = [
                each.quantity
                for each in ledger.records()
                if each.meter.value == meter and each.source.endswith(".0.1")
            ]
            return float(sum(quantities))

        wait_for(lambda: used("serving_seconds") > 0, "the serving time in the ledger")
        served = old[TEAM, "endpoint/scale"]["serving_seconds"]
        assert used("serving_seconds") <= served + ROUNDING_S
        trained = sum(old[TEAM, f"job/{name}"]["training_seconds"] for name in ("train", "waits"))
        assert used("training_seconds") <= trained + ROUNDING_S


def test_what_had_ended_costs_the_same(before: Before, restored: Plinth) -> None:
    assert bill_of(restored, "job/train") == before.train_bill


def test_the_job_that_ran_is_tried_again_by_its_attempts(before: Before, restored: Plinth) -> None:
    restored.wait_for_line(before.job, "waiting")
    run = restored.client.run(before.job)
    assert [attempt["number"] for attempt in run["attempts"]] == [1, 2]
    reasons = [each["reason"] for each in run["events"]]
    assert reasons[reasons.index("Restored") + 1] == "Retrying"
    # Its folder is new: the first attempt's line is not in it.
    work = restored.home.runs / before.job / "work"
    assert (work / "starts").read_text() == "attempt 2\n"
    (work / "go").touch()
    assert restored.ended(before.job)["phase"] == "succeeded"


def test_teams_data_models_and_traces_are_the_same(before: Before, restored: Plinth) -> None:
    assert {team["name"] for team in restored.client.teams()} == {"default", TEAM}
    assert restored.client.models()[0] == before.model
    data = restored.cli("data", "show", "numbers", "--team", TEAM, "--json").json
    assert data["uri"].startswith(f"file://{restored.home.storage}/")
    assert Path(data["uri"].removeprefix("file://")).read_text() == "a,b\n1,2\n3,4\n"
    trace = restored.client.trace(before.answered[0])
    assert trace == before.trace


def test_a_doctor_finds_the_new_home_well(restored: Plinth) -> None:
    wait_for(restored.is_up, "every part to be up")
    done = restored.cli("doctor", "--json", check=False)
    states = {each["name"]: each for each in done.json["findings"]}
    assert [each for each in states.values() if each["status"] == "failed"] == []
    assert done.code == 0
    for name in ("store", "stored files", "node agent", "control plane", "gateway", "MLflow"):
        assert states[name]["status"] == "ok", states[name]


def test_the_schema_of_mlflows_database_is_the_one_we_know(restored: Plinth) -> None:
    with closing(sqlite3.connect(restored.home.tracking / "mlflow.db")) as connection:
        rows = connection.execute("select version_num from alembic_version").fetchall()
    assert rows == [(MLFLOW_SCHEMA,)]


def test_no_row_names_the_old_home_but_in_history(before: Before, restored: Plinth) -> None:
    old = before.made["home"]
    found = []
    for path in (restored.home.database, restored.home.tracking / "mlflow.db"):
        with closing(sqlite3.connect(path)) as connection:
            names = connection.execute("select name from sqlite_master where type = 'table'")
            for (table,) in names.fetchall():
                if table == "audit":
                    continue
                rows = connection.execute(f'select * from "{table}"').fetchall()
                found += [(table, row) for row in rows if old in repr(row)]
    assert found == []


def test_an_upgrade_is_refused_while_it_runs_only_if_there_is_something_to_do(
    restored: Plinth,
) -> None:
    assert upgrade(restored.home)["changed"] == []


def test_a_restore_never_touches_a_home_that_runs(before: Before, restored: Plinth) -> None:
    with pytest.raises(Conflict, match="Plinth runs in"):
        restore(restored.home, before.file)


def test_a_stopped_home_is_backed_up_and_its_mlflow_goes_forward(
    restored: Plinth, tmp_path: Path
) -> None:
    """The last one: it stops Plinth. MLflow's own program has nothing to do, and says so by 0."""
    restored.cli("down", "--force")
    made = restored.cli("backup", str(tmp_path / "b.tar"), "--json").json
    assert made["missing"] == []
    _upgrade_tracking(restored.home, say_nothing)
    done = restored.cli("doctor", "--json", check=False)
    states = {each["name"]: each["status"] for each in done.json["findings"]}
    assert done.code == 1
    assert (states["node agent"], states["control plane"]) == ("failed", "skipped")
    assert (states["store"], states["units"], states["sockets"]) == ("ok", "ok", "ok")
