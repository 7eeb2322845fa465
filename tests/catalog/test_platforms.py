from datetime import date
from importlib import resources

import pytest
import yaml

from plinth.catalog import platforms
from plinth.catalog.machine import local_offer
from plinth.catalog.platforms import (
    GROUPS,
    PlatformFacts,
    capability_of,
    find_facts,
    load_facts,
    load_platforms,
    only_row,
    platform_names,
    read_facts,
    with_day2_hours,
)
from plinth.catalog.table import Source
from plinth.domain.document import read_document, to_value
from plinth.domain.load import LoadError
from plinth.domain.plan import Outcome
from plinth.domain.platform import Offer
from plinth.domain.workload import WORKLOAD
from plinth.kit.errors import NotFound
from plinth.planning.context import Context
from plinth.planning.planner import plan

ROW = """\
platforms:
  - name: local
    description: This machine
    functions: [train]
    source: this test
    checked: 2026-11-22
"""
# The named systems of the requirements, by the rows that are about them.
NAMED = {
    *("local", "ray", "kubernetes", "aks", "data-science-vm"),
    *("azureml-compute-instance", "azureml-compute-cluster", "azureml-serverless-compute"),
    *("azureml-serverless-spot", "azureml-batch-endpoint", "azureml-online-endpoint"),
    *("azureml-serverless-api", "azureml-serverless-spark"),
    *("azure-openai-standard", "azure-openai-provisioned", "azure-openai-batch"),
    *("databricks-jobs", "databricks-model-serving", "synapse-spark"),
    *("foundry-hub", "foundry-agent-service", "prompt-flow", "external-model-api"),
}
TODAY = date(2026, 11, 23)


def test_the_local_platform_carries_what_was_seen_of_this_machine():
    offer = local_offer()
    (local,) = load_platforms([offer], 2, local_networks=("gateway", "open"))
    assert local.name == "local"
    assert local.offers == (offer,)
    assert local.capability.isolation == 2
    assert local.capability.networks == ("gateway", "open")
    assert local.capability.scale_to_zero is False
    assert local.source.endswith(")")


def test_what_nobody_probed_is_unknown():
    (local,) = load_platforms([], None)
    assert local.capability.isolation is None
    assert local.capability.networks is None


def test_every_kind_of_workload_fits_this_machine_when_it_asks_for_little():
    places = load_platforms([local_offer()], 2)
    small = {"name": "a", "resources": {"cpu": 0.01, "memory": "64MB"}}
    for kind in (
        {"kind": "job", "command": ["a"]},
        {"kind": "endpoint", "model": "models:/a/1"},
    ):
        found = plan(WORKLOAD.validate_python({**small, **kind}), places, Context())
        assert found.chosen is not None
        assert all(item.outcome is not Outcome.NOT_OK for item in found.chosen.verdicts)


def test_a_wrong_row_is_refused_with_file_line_and_field():
    with pytest.raises(LoadError, match=r"platforms\.yaml:6: platforms\[0\].checked: "):
        read_facts(ROW.replace("2026-11-22", "yesterday").encode())
    with pytest.raises(
        LoadError, match=r"platforms\.yaml:4: platforms\[0\]\.function: .*functions"
    ):
        read_facts(ROW.replace("functions", "function").encode())


def test_a_platform_that_stands_twice_is_refused():
    twice = ROW + ROW.split("\n", 1)[1]
    with pytest.raises(LoadError, match="`local` stands twice"):
        read_facts(twice.encode())


def test_a_row_without_a_source_is_refused():
    with pytest.raises(LoadError, match="source: this field is required"):
        read_facts(ROW.replace("    source: this test\n", "").encode())


def group(text: str) -> bytes:
    return f"{ROW}    traffic:\n{text}".encode()


def test_a_group_of_facts_without_a_source_or_a_day_is_refused():
    with pytest.raises(LoadError, match=r":7: platforms\[0\]\.traffic: .*`checked` is required"):
        read_facts(group("      split: true\n"))
    with pytest.raises(LoadError, match="`source` is required where there are facts"):
        read_facts(group("      split: true\n      checked: 2026-11-22\n"))


@pytest.mark.parametrize(
    ("fact", "words"),
    [
        ("mirror_percent_max: 101", "it must be at most 100"),
        ("mirror_percent_max: -1", "it must be at least 0"),
        ("mirror_percent_max: half", "a whole number"),
        ("deployments_max: true", "not a number"),
        ("mirror_percent: 50", "did you mean `mirror_percent_max`"),
    ],
)
def test_a_wrong_fact_is_refused_with_its_line_and_what_is_accepted(fact, words):
    with pytest.raises(LoadError, match=words) as caught:
        read_facts(group(f"      {fact}\n      source: s\n      checked: 2026-11-22\n"))
    assert caught.value.mistakes[0].line == 8


@pytest.mark.parametrize("hours", ["-1", ".nan", ".inf", "745", "many", "true"])
def test_hours_that_no_month_has_are_refused(hours):
    text = f"{ROW}    day2: {{patching: {hours}, source: s, checked: 2026-11-22}}\n"
    with pytest.raises(LoadError, match=r":7: platforms\[0\]\.day2\.patching: "):
        read_facts(text.encode())


def test_all_mistakes_of_a_file_are_told_at_once():
    text = f"{ROW}    maturity: {{stage: old}}\n    day2: {{patching: -1}}\n"
    with pytest.raises(LoadError) as caught:
        read_facts(text.encode())
    assert len(caught.value.mistakes) == 2
    assert "general-availability, preview, retiring, archived" in caught.value.message


def test_a_syntax_error_is_told_in_our_own_words():
    with pytest.raises(LoadError, match="a tab stands where YAML wants spaces"):
        read_facts(ROW.replace("    source", "\tsource").encode())


def test_every_named_system_is_known():
    assert set(platform_names()) == NAMED
    assert tuple(facts.name for facts in load_facts()) == platform_names()


@pytest.mark.parametrize("facts", load_facts(), ids=lambda facts: facts.name)
def test_every_fact_has_a_source_and_a_day_that_has_come(facts):
    assert facts.description
    assert facts.functions
    assert facts.checked <= TODAY
    for found in facts.groups.values():
        if found.known:
            assert found.source
            assert found.checked <= TODAY


@pytest.mark.parametrize("facts", load_facts(), ids=lambda facts: facts.name)
def test_every_platform_says_where_it_stands_and_what_a_month_of_it_takes(facts):
    assert facts.compute.rung is not None
    assert facts.day2.total is not None
    assert facts.day2.source.startswith("Estimate")


@pytest.mark.parametrize("name", sorted(NAMED))
def test_libyaml_and_the_exact_parser_read_the_same(name):
    text = (resources.files("plinth.catalog") / "platforms" / f"{name}.yaml").read_text("utf-8")
    quick, exact = read_document(text, quick=True), read_document(text)
    assert quick.problems == exact.problems == ()
    assert to_value(quick.root) == to_value(exact.root)
    assert quick.root == exact.root, "also every offset"


def test_facts_of_the_guidance_and_of_the_issue_stand_there():
    online, flow = find_facts("azureml-online-endpoint"), find_facts("prompt-flow")
    assert (online.traffic.mirror_percent_max, online.traffic.mirror_deployments_max) == (50, 1)
    assert (flow.maturity.stage, flow.maturity.retires) == ("retiring", date(2027, 4, 20))
    assert find_facts("azure-openai-provisioned").supply.throughput_guaranteed is True
    assert find_facts("azure-openai-standard").tuning.models == "hosted"
    assert "full" not in find_facts("azure-openai-standard").tuning.methods
    assert find_facts("azureml-serverless-spot").interruptible is True
    defaults = {one for row in load_facts() for one in row.guidance.default_for or ()}
    assert {"E6a", "E6b", "T5a", "T5d", "T7", "H12", "H15", "H16", "H17", "H8c"} <= defaults


def test_packaged_models_say_which_controls_are_lost():
    packaged = [row for row in load_facts() if row.control.formats == ()]
    assert {"azure-openai-standard", "external-model-api"} <= {row.name for row in packaged}
    assert all(row.control.lost for row in packaged)


def test_what_nobody_checked_is_unknown_and_not_no():
    endpoint = find_facts("azureml-online-endpoint")
    assert endpoint.regions.zone_redundant is None
    assert capability_of(endpoint).regions.zone_redundant is None


def test_a_platform_without_offers_gives_no_candidate():
    workload = WORKLOAD.validate_python({"kind": "job", "name": "a", "command": ["a"]})
    local = load_platforms([local_offer()], 2)
    others = load_platforms([local_offer()], 2, others=dict.fromkeys(platform_names(), ()))
    assert len(others) == len(NAMED)
    before, after = (plan(workload, places, Context()) for places in (local, others))
    assert (before.chosen, before.rejected) == (after.chosen, after.rejected)


def test_a_platform_with_offers_is_judged_by_its_facts():
    size = Offer(sku="nodes", region="westeurope", cpu=4, memory=10**10)
    place = load_platforms([], None, others={"azureml-serverless-spot": [size]})[1]
    assert place.offers == (size,)
    workload = WORKLOAD.validate_python({"kind": "job", "name": "a", "command": ["a"]})
    (candidate,) = plan(workload, [place], Context()).rejected
    failed = [item.rule for item in candidate.verdicts if item.outcome is Outcome.NOT_OK]
    assert {rule.partition(".")[0] for rule in failed} == {"T5b"}


def test_hours_that_are_stated_complete_what_is_unknown():
    (bare,) = read_facts(ROW.encode())
    sheet = Source("ours.csv", "time sheets", date(2026, 11, 1))
    stated = with_day2_hours(bare, {"patching": (2.0, sheet)})
    assert (stated.day2.patching, stated.day2.upgrades, stated.day2.total) == (2.0, None, None)
    assert stated.day2.source == "patching: time sheets (ours.csv 2026-11-01)"
    assert stated.day2.checked == date(2026, 11, 1)
    assert with_day2_hours(bare, {}) is bare


def test_only_the_local_file_is_read_for_a_local_plan(monkeypatch):
    read = []
    monkeypatch.setattr(platforms, "_facts", lambda name: read.append(name) or _row(name))
    load_platforms([], None)
    assert read == ["local"]


def _row(name: str) -> PlatformFacts:
    return only_row(read_facts(ROW.encode()), name)


def test_a_name_that_no_platform_has_is_told_with_the_nearest():
    with pytest.raises(NotFound, match="did you mean `databricks-jobs`"):
        find_facts("databrick-jobs")
    with pytest.raises(NotFound, match=r"there is no platform `xyzzy`$"):
        load_platforms([], None, others={"xyzzy": ()})


def test_a_file_with_another_platforms_name_is_refused():
    with pytest.raises(LoadError, match=r"platforms/aks\.yaml:1: .*`aks` here, not `local`"):
        only_row(read_facts(ROW.encode()), "aks")


def test_live_facts_replace_what_a_file_says():
    facts = read_facts(ROW.replace("    source", "    networks: [open]\n    source").encode())[0]
    assert capability_of(facts).networks == ("open",)
    live = capability_of(facts).model_copy(update={"networks": ("gateway",), "isolation": 3})
    assert capability_of(facts, live).networks == ("gateway",)
    assert capability_of(facts, live).isolation == 3


def test_every_group_is_part_of_what_rules_read():
    capability = capability_of(find_facts("aks"))
    assert {name: getattr(capability, name) for name in GROUPS} == find_facts("aks").groups


def test_the_files_are_plain_yaml_for_other_programs_too():
    for name in platform_names():
        text = (resources.files("plinth.catalog") / "platforms" / f"{name}.yaml").read_text("utf-8")
        assert yaml.safe_load(text)["platforms"][0]["name"] == name
