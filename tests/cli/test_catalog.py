"""`plinth catalog`: regions, quotas and platforms, without a running Plinth."""

from __future__ import annotations

import json

from plinth.catalog.platforms import load_facts
from tests.cli.alone import Alone


def test_regions_of_a_group_are_listed_with_source_and_day(alone: Alone) -> None:
    said = alone("catalog", "regions", "--geography", "eu")
    assert said.code == 0
    rows = [line for line in said.out.splitlines() if "azure-regions 2026-08-21" in line]
    assert len(rows) == 13
    assert "westeurope" in said.out
    assert "uksouth" not in said.out
    assert "zones are unknown until they are imported" in said.err
    assert not alone.home.exists()


def test_every_region_as_json_has_its_facts_and_nulls_for_unknown_ones(alone: Alone) -> None:
    regions = {each["name"]: each for each in alone("catalog", "regions", "--json").json}
    north = regions["northeurope"]
    assert (north["country"], north["pair"], north["zones"]) == ("Ireland", "westeurope", None)
    assert north["groups"] == ["eu", "eea", "europe", "ireland"]
    assert north["source"]["licence"] == "MIT"
    assert "chinaeast" not in regions


def test_a_mistaken_group_gets_the_nearest_name(alone: Alone) -> None:
    said = alone("catalog", "regions", "--geography", "germani")
    assert said.code == 1
    assert "did you mean `germany`?" in said.err


def test_groups_are_listed_with_their_regions(alone: Alone) -> None:
    assert "norwayeast" in alone("catalog", "regions", "--groups").out
    groups = alone("catalog", "regions", "--groups", "--json").json
    assert groups["ireland"] == ["northeurope"]


def test_imported_zones_are_shown_with_their_file(alone: Alone) -> None:
    alone.state("zones.csv", "regions", "region,zones", "ireland,3", "northeurope,3")
    alone.state("zones.csv", "regions", "region,zones", "northeurope,3")
    said = alone("catalog", "regions", "--geography", "northeurope")
    assert "zones.csv 2026-11-20, imported 20" in said.out
    assert said.err == ""


def test_quotas_are_unknown_until_they_are_imported(alone: Alone) -> None:
    said = alone("catalog", "quotas")
    assert (said.code, said.out) == (0, "")
    assert "unknown: no such quota was imported" in said.err
    alone.state(
        *("q.csv", "quotas", "quota,of,region,limit,used"),
        *("cpu,Dsv5,westeurope,100,40", "accelerators,,eastus,0,"),
    )
    shown = alone("catalog", "quotas").out
    assert "100" in shown
    assert "unknown" in shown
    (quota,) = alone("catalog", "quotas", "--kind", "cpu", "--region", "eu", "--json").json
    assert (quota["limit"], quota["left"], quota["source"]["file"]) == (100, 60, "q.csv")
    assert alone("catalog", "quotas", "--region", "us", "--kind", "cpu").out == ""


def test_every_platform_is_listed(alone: Alone) -> None:
    said = alone("catalog", "platforms")
    assert all(each.name in said.out for each in load_facts())
    assert {each["name"] for each in alone("catalog", "platforms", "--json").json} == {
        each.name for each in load_facts()
    }


def test_every_fact_of_a_platform_is_shown_and_unknown_where_nobody_knows(alone: Alone) -> None:
    said = alone("catalog", "platforms", "local")
    assert said.code == 0
    (facts,) = (each for each in load_facts() if each.name == "local")
    known = alone("catalog", "platforms", "local", "--json").json
    assert known["compute"] == json.loads(facts.compute.model_dump_json())
    # Its file says nothing of accelerators, which is not that it has none.
    assert known["accelerators"] is None
    for name, value in known.items():
        if name in ("name", "source", "checked") or isinstance(value, dict):
            continue
        (line,) = (each for each in said.out.splitlines() if each.split(" ")[0] == name)
        assert value is not None or "unknown" in line


def test_a_mistaken_platform_gets_the_nearest_name(alone: Alone) -> None:
    said = alone("catalog", "platforms", "locl")
    assert said.code == 1
    assert "did you mean `local`?" in said.err


def test_hours_of_day_2_that_were_imported_are_shown_with_their_file(alone: Alone) -> None:
    alone.state("hours.csv", "day2-hours", "platform,task,hours", "aks,patching,6.5")
    facts = alone("catalog", "platforms", "aks", "--json").json["day2"]
    assert (facts["patching"], facts["checked"]) == (6.5, "2026-11-20")
    assert facts["source"].startswith("patching: our portal (hours.csv 2026-11-20")
    listed = alone("catalog", "platforms", "--json").json
    assert [each["day2"] for each in listed if each["name"] == "aks"] == [facts]
