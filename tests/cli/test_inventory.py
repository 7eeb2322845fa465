"""`plinth inventory add`, `list` and `remove`, and the command that a plan prints."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from plinth.catalog.inventory import load_inventory
from plinth.domain.inventory import Owned
from plinth.domain.plan import Change
from tests.cli.alone import Alone


def test_what_is_added_is_listed_and_removed(alone: Alone) -> None:
    size = ("--cpu", "8", "--memory", "64GB", "--accelerator", "A100:2", "--count", "3")
    cost = ("--price-per-hour", "2.5", "--currency", "EUR")
    said = alone("inventory", "add", "kubernetes", "--region", "West Europe", *size, *cost)
    assert said.code == 0
    assert (
        "added `kubernetes`: `kubernetes` in westeurope, 3 x (8 cores, 64.0 GB, 2 x A1" in said.err
    )
    shown = alone("inventory", "list").out
    for text in ("westeurope", "8 cores, 64.0 GB, 2 x A100", "2.5 EUR"):
        assert text in shown
    (listed,) = alone("inventory", "list", "--json").json
    assert (listed["memory"], listed["price_per_hour"]) == (64_000_000_000, "2.5")
    assert Owned.model_validate(listed) == load_inventory(alone.home / "catalog").owned[0]
    assert alone("inventory", "remove", "kubernetes", "--json").json["removed"]
    assert alone("inventory", "list", "--json").json == []
    assert "the inventory is empty; `plinth inventory add" in alone("inventory", "list").err


def test_the_second_of_a_platform_gets_the_next_name(alone: Alone) -> None:
    names = [alone("inventory", "add", "aks", "--json").json["name"] for _ in range(2)]
    assert names == ["aks", "aks-2"]
    said = alone("inventory", "add", "aks", "--name", "aks")
    assert (said.code, "`aks` is in the inventory already" in said.err) == (1, True)


def test_a_mistake_adds_nothing_and_makes_no_home(alone: Alone) -> None:
    said = alone("inventory", "add", "kubernets", "--region", "eu", "--cpu", "nan")
    assert said.code == 1
    assert said.err.startswith("error: `platform`: `kubernets` is not a platform that the catalog")
    assert "did you mean `kubernetes`?" in said.err
    assert "`plinth catalog regions --geography eu` lists them" in said.err
    assert "hint: nothing was added" in said.err
    assert not alone.home.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("local", "--region", "westeurope"), "this machine: it stands in westeurope; residency"),
        (("local",), "where it stands is unknown"),
        (("aks",), "plans prefer it where it meets the requirements"),
        (("aks",), "where it stands is unknown, so residency is too: `--region` says it"),
        (("ray", "--cpu", "8"), "its size is unknown, so whether a workload fits is too"),
        (("ray",), "it is not charged again; `--price-per-hour` charges for it"),
        (
            ("azure-openai-provisioned", "--model", "gpt-4o", "--units", "100"),
            "its 100 units for gpt-4o are paid for already",
        ),
        (
            ("azure-openai-provisioned", "--model", "gpt-4o", "--units", "5"),
            "less than the 15 units that a deployment of it has at least",
        ),
        (
            ("databricks-jobs", "--committed", "2000"),
            "2000 USD of a month are promised: paid whether they are used or not",
        ),
    ],
)
def test_it_says_what_it_means_for_plans(
    alone: Alone, arguments: tuple[str, ...], said: str
) -> None:
    assert said in alone("inventory", "add", *arguments).err


def test_what_costs_nothing_unknown_is_not_asked_for(alone: Alone) -> None:
    err = alone("inventory", "add", "aks", "--region", "westeurope").err
    assert "unknown" not in err


def test_a_damaged_file_is_told_with_what_to_do(alone: Alone) -> None:
    alone("inventory", "add", "aks")
    path = alone.home / "catalog" / "inventory"
    path.write_text("{")
    said = alone("inventory", "list")
    assert said.code == 1
    assert f"`{path}` was damaged" in said.err
    assert "bring it back from a backup" in said.err


@pytest.mark.parametrize(
    ("platform", "value"),
    [
        ("kubernetes", {"region": "westeurope", "cpu": 8, "memory": 64_000_000_000}),
        ("kubernetes", {"cpu": 0.5, "memory": "64GB", "count": 3}),
        ("ray", {"cpu": 16.0, "accelerator": "A100:2", "region": None}),
        ("ray", {"accelerator": {"kind": "H100", "count": 8}, "price_per_hour": "12.50"}),
        ("ray", {"price_per_hour": 0.00001, "currency": "EUR"}),
        ("azure-openai-provisioned", {"model": "gpt-4o", "units": 100, "committed": 2000}),
        ("local", {"region": "West Europe"}),
        ("databricks-jobs", {}),
    ],
)
def test_the_command_that_a_plan_prints_makes_its_change(
    alone: Alone, platform: str, value: dict[str, Any]
) -> None:
    printed = str(Change(field=platform, value=value, of_inventory=True))
    first, *arguments = shlex.split(printed)
    assert (first, arguments[0]) == ("plinth", "inventory")
    said = alone(*arguments)
    assert said.code == 0, said.err
    (kept,) = load_inventory(alone.home / "catalog").owned
    meant = Owned.model_validate({"name": platform, "platform": platform, **value})
    if meant.region is not None:
        meant = meant.model_copy(update={"region": "westeurope"})
    assert kept == meant


def test_a_value_with_a_blank_is_quoted_in_the_command() -> None:
    change = Change(field="local", value={"region": "West Europe; rm"}, of_inventory=True)
    assert str(change) == "plinth inventory add local --region 'West Europe; rm'"
