"""The inventory: what is added stays, what is damaged is told, and no two lose each other's."""

from __future__ import annotations

import json
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from plinth.catalog.catalog import Catalog
from plinth.catalog.imports import load_imports
from plinth.catalog.inventory import (
    FILE,
    MOST_OWNED,
    add_owned,
    check_owned,
    fewest_units,
    load_inventory,
    remove_owned,
)
from plinth.domain.inventory import Inventory, Owned
from plinth.domain.resources import Accelerator
from plinth.kit.errors import Conflict, Invalid, NotFound
from plinth.kit.home import Home
from plinth.upkeep.contents import small_files

CATALOG = Catalog()
CLUSTER = Owned(
    name="team-k8s",
    platform="kubernetes",
    region="westeurope",
    cpu=8,
    memory=64_000_000_000,
    accelerator=Accelerator(kind="A100", count=2),
    count=3,
    price_per_hour=Decimal("2.50"),
    currency="EUR",
)
AKS = Owned(name="aks", platform="aks")
LOCAL = Owned(name="local", platform="local", region="westeurope")


def refused(**stated: str) -> str:
    with pytest.raises(Invalid) as raised:
        check_owned({"platform": "kubernetes", **stated}, CATALOG)
    return raised.value.message


def test_without_a_file_nothing_is_owned(tmp_path: Path) -> None:
    assert load_inventory(tmp_path) == Inventory()
    assert load_inventory(tmp_path / "none" / "there") == Inventory()
    assert not list(tmp_path.iterdir())


def test_what_is_added_is_there_as_it_was_stated(tmp_path: Path) -> None:
    assert add_owned(tmp_path, CLUSTER) == CLUSTER
    add_owned(tmp_path, AKS)
    assert load_inventory(tmp_path) == Inventory(owned=(CLUSTER, AKS))
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0


def test_it_is_read_anew_only_when_it_has_changed(tmp_path: Path) -> None:
    add_owned(tmp_path, AKS)
    once = load_inventory(tmp_path)
    assert load_inventory(tmp_path) is once
    add_owned(tmp_path, CLUSTER)
    assert len(load_inventory(tmp_path).owned) == 2


def test_it_is_no_import(tmp_path: Path) -> None:
    add_owned(tmp_path, AKS)
    assert load_imports(tmp_path) == ()


def test_a_name_that_is_taken_is_refused_or_counted_on(tmp_path: Path) -> None:
    add_owned(tmp_path, AKS)
    with pytest.raises(Conflict, match="`aks` is in the inventory already"):
        add_owned(tmp_path, AKS)
    assert [add_owned(tmp_path, AKS, renames=True).name for _ in range(2)] == ["aks-2", "aks-3"]
    long = AKS.model_copy(update={"name": "a" * 40})
    assert add_owned(tmp_path, long).name == "a" * 40
    assert add_owned(tmp_path, long, renames=True).name == "a" * 38 + "-2"


def test_this_machine_is_owned_once(tmp_path: Path) -> None:
    add_owned(tmp_path, LOCAL)
    with pytest.raises(Conflict, match="already, as `local`") as raised:
        add_owned(tmp_path, LOCAL.model_copy(update={"name": "box"}), renames=True)
    assert "plinth inventory remove local" in str(raised.value.hint)
    assert len(load_inventory(tmp_path).owned) == 1


def test_what_is_removed_is_gone_and_a_wrong_name_gets_the_nearest(tmp_path: Path) -> None:
    add_owned(tmp_path, CLUSTER)
    with pytest.raises(NotFound, match="did you mean `team-k8s`"):
        remove_owned(tmp_path, "teamk8")
    assert remove_owned(tmp_path, "team-k8s") == CLUSTER
    assert load_inventory(tmp_path).owned == ()


def test_a_wrong_name_to_remove_makes_no_home(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        remove_owned(tmp_path / "home", "aks")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"format": 2, "owned": []}',
        b'{"format": 1}',
        b'{"format": 1, "owned": [{"name": "aks"}]}',
        b'{"format": 1, "owned": [{"name": "a", "platform": "aks", "cpu": -1}]}',
        json.dumps({"format": 1, "owned": [AKS.model_dump(mode="json")] * 2}).encode(),
    ],
)
def test_a_damaged_file_is_named_and_nothing_of_it_is_used(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    for ask in (lambda: load_inventory(tmp_path), lambda: add_owned(tmp_path, AKS)):
        with pytest.raises(Invalid, match="was damaged") as raised:
            ask()
        assert str(tmp_path / FILE) in raised.value.message
        assert "backup" in str(raised.value.hint)
    assert (tmp_path / FILE).read_bytes() == content


def test_many_who_add_at_once_lose_nothing(tmp_path: Path) -> None:
    def add() -> None:
        for _ in range(5):
            add_owned(tmp_path, AKS, renames=True)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({each.name for each in load_inventory(tmp_path).owned}) == 20


def test_it_holds_no_more_than_its_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_OWNED >= 1000
    monkeypatch.setattr("plinth.catalog.inventory.MOST_OWNED", 1)
    add_owned(tmp_path, AKS)
    with pytest.raises(Invalid, match="that is the most"):
        add_owned(tmp_path, AKS, renames=True)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Invalid, match=r"cannot be written: .*; nothing was changed"):
        add_owned(tmp_path / "file", AKS)


def test_what_is_stated_is_checked_and_written_in_full() -> None:
    stated = {
        "platform": "Kubernetes",
        "region": "West Europe",
        "cpu": "8",
        "memory": "64GB",
        "accelerator": "a100:2",
        "count": "3",
        "price_per_hour": "2.50",
        "currency": "EUR",
    }
    assert check_owned(stated, CATALOG) == CLUSTER.model_copy(update={"name": "kubernetes"})


def test_an_accelerator_without_a_number_is_one() -> None:
    owned = check_owned({"platform": "kubernetes", "accelerator": "H100"}, CATALOG)
    assert owned.accelerator == Accelerator(kind="H100", count=1)


def test_provisioned_units_are_for_a_model_that_has_some() -> None:
    stated = {"platform": "azure-openai-provisioned", "model": "GPT-4o", "units": "100"}
    owned = check_owned(stated, CATALOG)
    assert (owned.model, owned.units) == ("gpt-4o", 100)
    assert fewest_units("gpt-4o") == 15
    assert fewest_units("nothing") is None


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"platform": "kubernets"}, "did you mean `kubernetes`?"),
        ({"region": "westeurop"}, "`region`: `westeurop` is not a region; did you mean `westeuro"),
        ({"region": "eu"}, "is a group of regions; name the one where it stands"),
        ({"region": ""}, "is not a region"),
        ({"cpu": "nan"}, "`cpu`: `nan` is not a number"),
        ({"cpu": "0"}, "it must be more than 0"),
        ({"cpu": "-4"}, "is not a number"),
        ({"memory": "64GX"}, "is not a size"),
        ({"memory": "0"}, "it must be more than 0"),
        ({"accelerator": "A10x"}, "did you mean `A10`?"),
        ({"accelerator": "A100:0"}, "is not an accelerator"),
        ({"accelerator": "none"}, "is not a kind of accelerator"),
        ({"count": "1.5"}, "is not a whole number"),
        ({"count": "100001"}, "it must be at most 100,000"),
        ({"price_per_hour": "1e3"}, "`price_per_hour`: `1e3` is not a number"),
        ({"committed": "inf"}, "is not a number"),
        ({"currency": "EURO"}, "did you mean `EUR`?"),
        ({"name": "Our cluster"}, "is not a name"),
        ({"model": "gpt-4oo", "units": "5"}, "did you mean `gpt-4o`?"),
        ({"units": "100"}, "`model`: `units` needs `model` beside it"),
        ({"model": "gpt-4o"}, "`units`: `model` needs `units` beside it"),
        ({"model": "gpt-4o", "units": "5"}, "accepted: azure-openai-provisioned, databricks-mod"),
    ],
)
def test_what_the_catalog_does_not_know_is_refused_with_the_nearest(
    stated: dict[str, str], said: str
) -> None:
    assert said in refused(**stated)


def test_every_mistake_is_told_at_once() -> None:
    lines = refused(region="westeurop", cpu="many", currency="EURO").splitlines()
    assert [line.partition(":")[0] for line in lines] == ["`region`", "`cpu`", "`currency`"]


@pytest.mark.parametrize("value", ["9" * 400, "x" * 5000, "\x00", "é" * 70])
def test_a_long_or_strange_value_is_cut_in_the_message(value: str) -> None:
    stated: dict[str, Any] = {"region": value, "cpu": value, "memory": value, "accelerator": value}
    assert len(refused(**stated)) < 1200


def test_a_backup_holds_it_and_not_its_lock(tmp_path: Path) -> None:
    home = Home(tmp_path)
    add_owned(home.catalog, AKS)
    assert len(list(home.catalog.iterdir())) == 2
    assert [each.name for each in small_files(home)] == [f"catalog/{FILE}"]
