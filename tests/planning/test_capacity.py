"""What is owned has room for all parts together, or the parts do not all stand there."""

from __future__ import annotations

from dataclasses import replace

from plinth.domain.inventory import Inventory, Owned
from plinth.domain.need import needs_of
from plinth.domain.platform import Offer
from plinth.planning.advice import make_advice
from plinth.planning.capacity import Load, shared_rooms
from plinth.planning.change import change_declaration
from plinth.planning.context import Market
from tests.planning.applications import CONTEXT, MARKET, application

MACHINES = Offer(
    sku="own", region="westeurope", cpu=8, memory=32_000_000_000, count=2, tier="own-hardware"
)
WHOLE = application(
    train={"resources": {"cpu": 10}},
    batch={"resources": {"cpu": 6}},
    online={"format": "onnx", "resources": {"cpu": 6}},
)


def loads(offer: Offer = MACHINES) -> list[Load]:
    return [Load(part, need, "aks", offer, 1) for part, need in enumerate(needs_of(WHOLE))]


def test_what_answers_always_runs_and_the_rest_runs_in_turn() -> None:
    (room,) = shared_rooms(loads())
    assert room.needed["cores"] == 10 + 6
    assert room.has["cores"] == 16
    assert room.short == ()
    (narrow,) = shared_rooms(loads(MACHINES.model_copy(update={"cpu": 7.0})))
    assert narrow.short == ("cores",)


def test_one_part_alone_and_what_is_bought_share_nothing() -> None:
    assert shared_rooms(loads()[:1]) == ()
    assert shared_rooms(loads(MACHINES.model_copy(update={"tier": "pay-as-you-go"}))) == ()
    assert shared_rooms(loads(MACHINES.model_copy(update={"count": None}))) == ()


def owning(**facts: object) -> Market:
    owned = Owned.model_validate({"name": "own", "platform": "kubernetes", **facts})
    context = CONTEXT.model_copy(update={"inventory": Inventory(owned=(owned,))})
    return replace(MARKET, context=context, local=())


def test_parts_that_do_not_fit_together_are_kept_apart() -> None:
    asked = application(
        requirements={"regions": ["westeurope"]},
        train={"resources": {"cpu": 8}, "demand": {"runs": 8, "duration": "2h"}},
        online={"format": "mlflow-pyfunc", "resources": {"cpu": 8}},
    )
    wide = make_advice(asked, owning(region="westeurope", cpu=16, memory="64GB", count=1))
    assert [each.chosen and each.chosen.platform for each in wide.parts] == ["kubernetes"] * 2
    narrow = make_advice(asked, owning(region="westeurope", cpu=8, memory="64GB", count=1))
    names = [each.chosen.platform for each in narrow.parts if each.chosen]
    assert len(names) == 2
    assert names.count("kubernetes") == 1


def test_parts_that_must_not_share_compute_need_machines_of_their_own() -> None:
    asked = application(
        requirements={"regions": ["westeurope"]},
        online={"format": "mlflow-pyfunc", "requirements": {"isolate_from": ["train"]}},
        train={"demand": {"runs": 8, "duration": "2h"}},
    )
    one = make_advice(asked, owning(region="westeurope", cpu=16, memory="64GB", count=1))
    names = [each.chosen.platform for each in one.parts if each.chosen]
    assert len(names) == 2
    assert names.count("kubernetes") < 2
    two = make_advice(asked, owning(region="westeurope", cpu=16, memory="64GB", count=3))
    assert [each.chosen and each.chosen.platform for each in two.parts] == ["kubernetes"] * 2


def test_more_work_than_one_machine_of_ones_own_can_do_is_rejected() -> None:
    asked = application(train={"resources": {"cpu": 8}, "demand": {"runs": 700, "duration": "30h"}})
    (part,) = make_advice(asked, MARKET).parts
    assert part.chosen is None or part.chosen.platform != "local"
    local = next(each for each in part.rejected if each.platform == "local")
    said = next(each for each in local.verdicts if each.rule == "month")
    assert said.reason == (
        "its runs take 21,000 hours of a month that has 730; that needs 29 machines, "
        "there is room on 1"
    )
    assert said.change is not None
    changed = change_declaration(asked, [said.change])
    (then,) = make_advice(changed, MARKET).parts
    assert then.chosen is not None
    assert then.chosen.platform == "local"
