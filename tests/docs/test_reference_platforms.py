"""The page of platforms shows every fact of the catalog, and says what is unknown."""

from plinth.catalog.platforms import GROUPS, load_facts
from plinth.catalog.servers import load_servers
from plinth.domain.platform import Facts
from tools.reference.platforms import platforms_page, written

PAGE = platforms_page()
SECTIONS = {part.split("\n", 1)[0]: part for part in PAGE.split("\n## ")}


def test_every_platform_has_a_section_and_a_line_at_a_glance():
    for facts in load_facts():
        assert facts.description in SECTIONS[facts.name]
        assert f"[`{facts.name}`](#{facts.name})" in SECTIONS["At a glance"]


def test_every_known_fact_stands_with_its_source_and_day():
    for facts in load_facts():
        section = SECTIONS[facts.name]
        for group in facts.groups.values():
            if not group.known:
                continue
            assert f"{group.source}, checked {group.checked.isoformat()}" in section
            assert all(written(getattr(group, name)) in section for name in group.known)


def test_what_nobody_knows_is_said_and_not_left_out():
    assert "*unknown: zone redundant, processed in*" in SECTIONS["azureml-online-endpoint"]
    assert "Nothing is known of `supply`" in SECTIONS["foundry-hub"]


def test_every_server_stands_on_the_page_with_where_it_runs():
    for server in load_servers():
        assert f"| `{server.name}` |" in SECTIONS["The servers"]
        for host in server.runs_on:
            assert f"| `{server.name}` | `{host.platform}` |" in SECTIONS["The servers"]


def test_the_matrix_has_three_answers():
    assert all(
        f"| {answer} |" in SECTIONS["Which server runs where"] for answer in ("yes", "no", "?")
    )


def test_every_fact_that_can_be_stated_is_explained():
    for group, model in GROUPS.items():
        for name, field in model.model_fields.items():
            if name not in Facts.model_fields:
                assert field.description, f"{group}.{name}"
                assert f"| `{group}.{name}` |" in SECTIONS["What each fact means"]


def test_an_end_and_a_successor_are_shown():
    assert "archived; Triton or vLLM instead" in SECTIONS["The servers"]
    assert "retires: 2027-04-20" in SECTIONS["prompt-flow"]
