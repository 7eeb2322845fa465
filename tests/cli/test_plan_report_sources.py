"""Every fact and price that was used is named with its source and its day."""

from __future__ import annotations

from plinth.catalog.platforms import find_facts
from plinth.cli.plan_report_sources import fact_rows, price_rows, sources_section
from tests.cli.plan_report_case import make_advice


def test_each_group_of_facts_stands_with_its_source_and_its_day() -> None:
    facts = find_facts("aks")
    rows = fact_rows(facts)
    assert rows[0][0] == "aks"
    assert rows[0][1].startswith("what it is")
    named = ", ".join(row[1] for row in rows).split(", ")
    known = [name for name, group in facts.groups.items() if group.known]
    assert len(named) == 1 + len(known)
    assert all(row[2] and row[3].startswith("20") for row in rows)
    assert len({(row[2], row[3]) for row in rows}) == len(rows)


def test_each_source_of_prices_and_limits_stands_once() -> None:
    rows = list(price_rows(make_advice()))
    assert ["train: NC8as_T4_v3, spot", "our own list (2026-11-20)"] in rows
    assert ["online: provisioned units of gpt-4o", "our quotas (2026-11-20)"] in rows
    assert len({source for _, source in rows}) == len(rows)


def test_the_chosen_platforms_are_told_in_full_and_the_others_in_short() -> None:
    page = sources_section(make_advice())
    full, brief = page.split("<h3>Facts of the other platforms</h3>")
    assert "azureml-serverless-spot" in full
    assert "azure-openai-provisioned" in full
    assert "day-2 work" in full
    assert "databricks-jobs" in brief
    assert "aks" in brief


def test_a_platform_that_the_catalog_does_not_have_is_left_out() -> None:
    advice = make_advice()
    part = advice.parts[0]
    assert part.chosen is not None
    other = part.model_copy(
        update={"chosen": part.chosen.model_copy(update={"platform": "lunar"}), "rejected": ()}
    )
    assert "lunar" not in sources_section(make_advice(other))
