import pytest

from plinth.catalog.machine import local_offer
from plinth.catalog.platforms import load_platforms, read_facts
from plinth.domain.load import LoadError
from plinth.domain.plan import Outcome
from plinth.domain.workload import WORKLOAD
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
    small = {"name": "a", "resources": {"cpu": 0.01, "memory": "1MB"}}
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
