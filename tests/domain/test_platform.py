from datetime import date
from decimal import Decimal

import pytest
from pydantic import ValidationError

from plinth.domain.platform import Capability, Day2, Facts, Offer, Platform, Traffic

CITED = {"source": "this test", "checked": date(2026, 11, 22)}


def test_what_is_not_stated_is_unknown_and_not_no():
    capability = Capability(functions=("train",))
    facts = (capability.isolation, capability.scale_to_zero, capability.interruptible)
    assert (*facts, capability.networks) == (None, None, None, None)
    offer = Offer(sku="small", region="local", cpu=1, memory=1)
    assert (offer.price_per_hour, offer.count) == (None, None)


def test_a_platform_survives_json_with_its_prices_exact():
    offer = Offer(sku="a", region="b", cpu=0.1, memory=2**40, price_per_hour=Decimal("0.1000"))
    platform = Platform(
        name="a",
        description="b",
        capability=Capability(functions=("train",), isolation=2),
        offers=(offer,),
        source="c",
    )
    again = Platform.model_validate_json(platform.model_dump_json())
    assert again == platform
    assert str(again.offers[0].price_per_hour) == "0.1000"


def test_every_group_of_facts_is_there_and_unknown_where_nobody_stated_it():
    capability = Capability(functions=("train",))
    groups = [value for _, value in capability if isinstance(value, Facts)]
    assert len(groups) == 14
    assert not any(group.known for group in groups)
    assert capability.traffic.split is None


def test_facts_without_source_and_day_are_refused():
    with pytest.raises(ValidationError, match="`checked` is required where there are facts"):
        Traffic(split=True)
    assert Traffic(split=True, **CITED).known == ("split",)


def test_none_is_known_and_nothing_is_not():
    assert Traffic(mirror_percent_max=0, **CITED).known == ("mirror_percent_max",)
    assert Traffic(**CITED).known == ()


def test_the_hours_of_all_tasks_are_known_only_when_each_is():
    hours = {"patching": 1, "upgrades": 0.5, "on_call": 2, "scaling": 0, "security": 1}
    assert Day2(**hours, **CITED).total == 4.5
    assert Day2(**{**hours, "scaling": None}, **CITED).total is None
