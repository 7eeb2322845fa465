"""A deployment answers as it is at first, and from its ONNX form once that is found; once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plinth.control.conversions.preparation import prepare_conversion
from plinth.control.runs.service import stop_run
from plinth.domain.model_conversion import ModelConversion
from plinth.domain.run import Phase
from plinth.kit.errors import Invalid
from tests.control.conversions.form_case import (
    MLMODEL,
    conversion,
    conversions,
    finish,
    form_of,
    served,
    with_models,
)
from tests.control.plane import TEAM, Plane

REFUSES = "output `y` has 3 where the model itself gives 2"


@pytest.fixture
def models(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> Plane:
    return with_models(plane, monkeypatch)


def serving(plane: Plane, **fields: object) -> str:
    run = plane.apply(**fields).deployment
    plane.until(lambda: plane.serves(run))
    return str(run)


def rest(plane: Plane) -> None:
    """Let time pass in which nothing is to happen."""
    for _ in range(4):
        plane.step(6)


def as_onnx(plane: Plane) -> str:
    """Bring an endpoint up and convert its model; return what serves then."""
    serving(plane)
    finish(plane, conversion(plane))
    plane.until(lambda: form_of(served(plane)) == "onnx")
    return served(plane).id


def test_it_serves_at_once_and_the_form_takes_over_when_it_is_found(models: Plane) -> None:
    first = serving(models)
    assert form_of(models.run(first)) == "pyfunc"
    assert conversions(models) == []
    found = conversion(models)
    assert models.serves(first)
    finish(models, found)
    models.until(lambda: not models.serves(first))
    now = served(models)
    assert (form_of(now), now.model) == ("onnx", models.run(first).model)
    assert "--form" in models.world.replicas[f"{now.id}.0.1"].spec.command
    assert "from its ONNX form" in now.message
    models.until(lambda: models.run(first).phase is Phase.STOPPED)
    rest(models)
    assert (served(models).id, len(conversions(models))) == (now.id, 1)


def test_the_same_file_changes_nothing_before_during_and_after(models: Plane) -> None:
    first = serving(models)
    finish(models, conversion(models))
    endpoint = models.endpoint()
    models.until(lambda: bool(getattr(models.endpoint(), "next", {})))
    endpoint = models.endpoint()
    assert endpoint is not None
    again = models.apply()
    assert (again.deployment, again.changed) == (first, False)
    then = models.endpoint()
    assert then is not None
    assert then.next == endpoint.next
    models.until(lambda: form_of(served(models)) == "onnx")
    after = models.apply()
    assert (after.deployment, after.changed) == (served(models).id, False)


def test_a_version_is_converted_once_for_all_endpoints_and_known_from_then_on(
    models: Plane,
) -> None:
    as_onnx(models)
    models.apply(name="other")
    models.until(lambda: bool(getattr(models.endpoint("other"), "serving", {})))
    other = models.endpoint("other")
    assert other is not None
    assert form_of(models.run(other.serving["main"])) == "onnx"
    assert len(conversions(models)) == 1


def test_another_version_begins_as_it_is_and_is_converted_too(models: Plane) -> None:
    old = as_onnx(models)
    models.tracking.add_model(TEAM, "m", ("champion",))
    new = serving(models)
    assert form_of(models.run(new)) == "pyfunc"
    finish(models, conversion(models))
    models.until(lambda: form_of(served(models)) == "onnx")
    assert served(models).id not in (old, new)
    assert len(conversions(models)) == 2


def test_a_model_that_answers_otherwise_as_onnx_stays_as_it_is(models: Plane) -> None:
    first = serving(models)
    finish(models, conversion(models), form="pyfunc", why="its answers differ by up to 3")
    rest(models)
    assert (served(models).id, len(conversions(models))) == (first, 1)


@pytest.mark.parametrize("ends", ["crashes", "hangs", "stopped", "leaves nothing"])
def test_a_conversion_that_does_not_end_well_changes_nothing(models: Plane, ends: str) -> None:
    first = serving(models)
    found = conversion(models)
    if ends == "stopped":
        with models.write() as connection:
            stop_run(connection, models.context, found)
    elif ends == "hangs":
        models.clock.advance(601)
    elif ends == "leaves nothing":
        models.world.end(f"{found.id}.0.1")
    else:
        models.world.behave = lambda world, unit: (
            world.end(unit, 139, "was ended by signal 11") if found.id in unit else None
        )
        models.world.end(f"{found.id}.0.1", 139, "was ended by signal 11")
    models.until(lambda: models.run(found.id).phase.is_final)
    rest(models)
    assert (served(models).id, len(conversions(models))) == (first, 1)
    assert len(models.attempts(found.id)) == (3 if ends == "crashes" else 1)


def test_kill_9_at_any_step_leaves_one_conversion_and_one_deployment(models: Plane) -> None:
    first = serving(models)
    while not conversions(models):
        models.step()
        models.restart()
    found = conversions(models)[0]
    while models.run(found.id).phase is not Phase.RUNNING:
        models.step()
        models.restart()
    finish(models, models.run(found.id))
    steps = 0
    while models.serves(first) or models.run(first).phase is not Phase.STOPPED:
        models.step()
        models.restart()
        steps += 1
        assert steps < 200, models.describe()
    assert form_of(served(models)) == "onnx"
    with models.database.read() as connection:
        made = connection.exec_driver_sql("select count(*) from run where kind = 'endpoint'")
        assert made.scalar_one() == 2
    assert len(conversions(models)) == 1


def test_a_form_that_does_not_get_ready_is_dropped_and_not_tried_again(models: Plane) -> None:
    first = serving(models)
    models.not_ready = REFUSES
    finish(models, conversion(models))
    models.until(lambda: bool(getattr(models.endpoint(), "next", {})))
    while getattr(models.endpoint(), "next", None):
        models.step(60)
    rest(models)
    endpoint = models.endpoint()
    assert endpoint is not None
    assert (endpoint.serving, endpoint.next) == ({"main": first}, {})
    assert endpoint.reason == "Serving"
    assert "was not ready from its model's ONNX form" in endpoint.message
    models.not_ready = None
    assert not models.apply().changed


def test_one_that_begins_with_a_known_form_and_fails_begins_again_as_it_is(models: Plane) -> None:
    as_onnx(models)
    models.not_ready = REFUSES
    models.apply(name="other")
    models.until(lambda: bool(getattr(models.endpoint("other"), "next", {})))
    bad = models.endpoint("other")
    assert bad is not None
    while models.run(bad.next["main"]).phase is not Phase.FAILED:
        models.step(60)
    models.not_ready = None
    models.until(lambda: bool(getattr(models.endpoint("other"), "serving", {})))
    other = models.endpoint("other")
    assert other is not None
    assert form_of(models.run(other.serving["main"])) == "pyfunc"


def test_pyfunc_in_the_file_converts_nothing_and_ends_an_onnx_deployment(models: Plane) -> None:
    before = as_onnx(models)
    new = serving(models, form="pyfunc")
    assert new != before
    assert form_of(models.run(new)) == "pyfunc"
    rest(models)
    assert served(models).id == new
    assert len(conversions(models)) == 1


def test_onnx_in_the_file_waits_for_the_form(models: Plane) -> None:
    run = models.apply(form="onnx").deployment
    assert run is not None
    models.until(lambda: "converting the model to ONNX" in models.run(run).message)
    finish(models, conversion(models))
    models.until(lambda: models.serves(run))
    assert form_of(models.run(run)) == "onnx"


def test_onnx_that_cannot_be_is_told_with_the_reason_and_the_old_one_goes_on(
    models: Plane,
) -> None:
    old = serving(models, form="pyfunc")
    new = models.apply(form="onnx").deployment
    assert new is not None
    finish(models, conversion(models), form="pyfunc", why="its answers differ by up to 3")
    models.until(lambda: models.run(new).phase is Phase.FAILED)
    assert "has no ONNX form: its answers differ by up to 3; write `form: auto`" in (
        models.run(new).message
    )
    models.until(lambda: getattr(models.endpoint(), "reason", "") == "DeploymentFailed")
    assert models.serves(old)
    with pytest.raises(Invalid, match="`m/1` has no ONNX form: its answers differ") as caught:
        models.apply(form="onnx")
    assert caught.value.code == "no_onnx_form"


def test_onnx_is_refused_where_no_server_answers_from_it(models: Plane) -> None:
    with pytest.raises(Invalid, match="`form` is `onnx`, but the runtime `llmserver` has none"):
        models.apply(form="onnx", runtime="llmserver")
    external = {"url": "https://api.example.com/v1", "protocol": "openai"}
    with pytest.raises(Invalid, match="somebody else serves it"):
        models.apply(form="onnx", external=external)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("  sklearn: {}\n", "  pytorch: {}\n"), "only models of scikit-learn"),
        (("saved_input_example_info", "x"), "no input example"),
        (("predict_fn: predict", "predict_fn: transform"), "`transform`"),
    ],
)
def test_a_model_that_cannot_be_converted_starts_no_conversion(
    plane: Plane, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str], why: str
) -> None:
    with_models(plane, monkeypatch, MLMODEL.replace(*change))
    first = serving(plane)
    rest(plane)
    assert (served(plane).id, conversions(plane)) == (first, [])
    with pytest.raises(Invalid, match=why):
        plane.apply(form="onnx")


def test_a_conversion_is_confined_and_limited_and_has_no_key(models: Plane) -> None:
    serving(models, resources={"memory": "2GB"})
    found = conversion(models)
    assert isinstance(found.workload, ModelConversion)
    spec = models.world.replicas[f"{found.id}.0.1"].spec
    assert (spec.network, spec.memory_bytes) == ("gateway", 4_000_000_000)
    assert [mount.path for mount in spec.mounts if mount.writable] == [
        str(models.home.runs / found.id)
    ]
    assert "PLINTH_KEY" not in spec.variables
    prepared = prepare_conversion(models.context, found, found.workload)
    order = json.loads(Path(prepared.command[-2]).read_text())
    assert (order["files"], order["form"]) == ([], "auto")


def test_nothing_is_looked_for_before_all_that_the_file_asks_for_serves(models: Plane) -> None:
    for _ in range(2):
        models.tracking.add_model(TEAM, "m", ("champion",))
    two = {"blue": {"model": "models:/m/1"}, "green": {"model": "models:/m/2"}}
    runs = models.apply(deployments=two, traffic={"blue": 50, "green": 50}).deployments
    models.why_not[runs["green"]] = "the model is loading"
    models.until(lambda: models.serves(runs["blue"]))
    rest(models)
    assert conversions(models) == []
    models.why_not.clear()
    for name in ("blue", "green"):
        finish(models, conversion(models))
        models.until(lambda name=name: form_of(served(models, name)) == "onnx")  # type: ignore[misc]
    assert len(conversions(models)) == 2
