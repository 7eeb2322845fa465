import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plinth.domain.load import LoadError, load_as, load_workload
from plinth.domain.resources import ResourceRequest
from plinth.domain.workload import WORKLOAD, Endpoint, Job

JOB = """\
kind: job
name: flights-train
team: ops
code: .
command: [python, train.py, --depth, "8"]
environment:
  packages: [scikit-learn==1.8.0]
variables:
  LEVEL: debug
data:
  flights: flights@3
requirements:
  isolation: 2
  regions: [local]
resources:
  cpu: 1.5
  memory: 2GB
  accelerator: A100:2
attempts: 2
timeout: 15m
network: gateway
"""
ENDPOINT = """\
kind: endpoint
name: flights-delay
model: models:/flights-delay@champion
replicas: 2
ready_timeout: 2m
"""


def mistakes_of(text: str | bytes) -> list[str]:
    with pytest.raises(LoadError) as caught:
        load_workload(text, "train.yaml")
    assert caught.value.hint
    return caught.value.message.splitlines()


def only_mistake_of(text: str | bytes) -> str:
    (mistake,) = mistakes_of(text)
    return mistake


def test_a_valid_job_is_read_with_sizes_in_bytes_and_times_in_seconds():
    job = load_workload(JOB, "train.yaml")
    assert isinstance(job, Job)
    assert job.resources.memory == 2_000_000_000
    assert job.timeout == 900.0
    assert job.command == ("python", "train.py", "--depth", "8")
    assert job.resources.accelerator is not None
    assert job.resources.accelerator.count == 2


def test_a_valid_endpoint_is_read():
    endpoint = load_workload(ENDPOINT, "endpoint.yaml")
    assert isinstance(endpoint, Endpoint)
    assert endpoint.replicas == 2


@pytest.mark.parametrize("text", [JOB, ENDPOINT])
def test_a_workload_survives_the_round_trip_through_json(text):
    workload = load_workload(text, "train.yaml")
    sent = json.loads(json.dumps(workload.model_dump(mode="json")))
    assert WORKLOAD.validate_python(sent) == workload


def test_every_mistake_of_a_file_is_reported_at_once_in_the_order_of_its_lines():
    text = """\
kind: job
name: Flights
command: [python]
resources:
  memoy: 1GB
  cpu: -1
attempts: 1.5
network: opn
replicas: 2
"""
    assert mistakes_of(text) == [
        "train.yaml:2: name: `Flights` is not a name: lower-case letters, digits and `-`, "
        "starting with a letter, at most 40 characters",
        "train.yaml:5: resources.memoy: unknown field; did you mean `memory`? "
        "accepted: cpu, memory, accelerator",
        "train.yaml:6: resources.cpu: `-1` is not accepted; it must be at least 0.001",
        "train.yaml:7: attempts: `1.5` where a whole number is needed",
        "train.yaml:8: network: `opn` is not one of the accepted values; did you mean `open`? "
        "accepted: gateway, open",
        "train.yaml:9: replicas: unknown field here; it belongs to kind `endpoint`; accepted: "
        "name, team, requirements, resources, kind, code, command, environment, variables, data, "
        "attempts, timeout, grace, network",
    ]


def test_a_mistake_names_place_field_accepted_values_and_the_nearest_for_programs():
    with pytest.raises(LoadError) as caught:
        load_workload("kind: job\nname: a\ncommand: [a]\nresources: {memoy: 1}\n", "a.yaml")
    (mistake,) = caught.value.mistakes
    assert (mistake.file, mistake.line, mistake.column) == ("a.yaml", 4, 13)
    assert mistake.field == "resources.memoy"
    assert mistake.accepted == ("cpu", "memory", "accelerator")
    assert mistake.nearest == "memory"


def test_a_wrong_kind_names_the_nearest_and_the_other_mistakes_are_still_found():
    first, second = mistakes_of("kind: jobs\nname: a\ncommand: [a]\nreplica: 1\n")
    assert first == (
        "train.yaml:1: kind: `jobs` is not a kind of workload; did you mean `job`? "
        "accepted: job, endpoint, flow, batch, workspace, application"
    )
    assert second.startswith("train.yaml:4: replica: unknown field")


def test_a_missing_kind_is_guessed_from_the_fields_to_find_the_other_mistakes():
    first, second = mistakes_of("name: a\nmodel: champion\nreplicas: 1\n")
    assert first.startswith("train.yaml:1: kind: this field is required")
    assert second.startswith("train.yaml:2: model: `champion` is not a model")


@pytest.mark.parametrize("value", ["[job]", "3", "{a: b}", "true"])
def test_a_kind_that_is_no_text_is_a_mistake(value):
    assert "kind: a kind of workload is a text" in mistakes_of(f"kind: {value}\nname: a\n")[0]


def test_a_field_at_the_wrong_level_is_pointed_to_its_place():
    text = "kind: job\nname: a\ncommand: [a]\nmemory: 1GB\n"
    assert "did you mean `resources.memory`?" in only_mistake_of(text)


def test_a_missing_field_is_reported():
    assert only_mistake_of("kind: job\nname: a\n") == (
        "train.yaml:1: command: this field is required"
    )


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "null\n", "\ufeff"])
def test_an_empty_file_is_said_to_be_empty(text):
    assert only_mistake_of(text) == "train.yaml:1: the file is empty"


@pytest.mark.parametrize("text", ["- a\n- b\n", "just text\n", "3\n"])
def test_a_file_that_is_no_mapping_is_refused(text):
    assert only_mistake_of(text) == "train.yaml:1: a file holds fields like `name: value`"


def test_a_second_document_is_refused_at_its_line():
    with pytest.raises(LoadError, match=r"train\.yaml:22: a second document starts here") as caught:
        load_workload(JOB + "---\n" + ENDPOINT, "train.yaml")
    assert caught.value.hint == "write each workload into a file of its own"


def test_a_field_that_stands_twice_is_reported_where_it_is_repeated():
    assert only_mistake_of(JOB + "name: other\n") == (
        "train.yaml:22: name: this field stands twice in the same mapping; keep one"
    )


def test_a_tab_is_named_as_a_tab():
    with pytest.raises(LoadError, match=r"train\.yaml:2: a tab stands where") as caught:
        load_workload("resources:\n\tcpu: 1\n", "train.yaml")
    assert "replace the tabs" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: job\nname: a: b\n", "2: `: ` is not expected here"),
        ("kind: job\nname\ncommand: a\n", "2: `:` and a space are missing"),
        ("kind: [job\n", "1: this is not YAML"),
        ("kind: job\n  name: a\n", "2: `: ` is not expected here"),
        ("a:\n  b: 1\n c: 2\n", "3: the indentation does not fit"),
        ('kind: job\nname: "\\UFFFFFFFF"\n', "2: this is not YAML"),
        ("kind: job\nname: a\x00\n", "2: the character U+0000 is not allowed"),
        ("a: *b\n", "1: `*b` names nothing that stands above it"),
        ("a: &a [*a]\n", "1: `*a` names nothing that stands above it"),
    ],
)
def test_broken_yaml_is_explained_at_its_line(text, said):
    assert said in only_mistake_of(text)


def test_bytes_that_are_not_utf8_are_refused_at_their_line():
    assert only_mistake_of(b"kind: job\nname: \xff\n") == (
        "train.yaml:2: the byte 0xff is not UTF-8"
    )


def test_tags_build_nothing_and_are_refused():
    text = "kind: job\nname: a\ncommand: !!python/object/apply:os.system [ls]\n"
    assert "command: the tag" in mistakes_of(text)[0]


def test_merge_keys_are_refused_with_what_to_do():
    text = "kind: job\nname: a\ncommand: [a]\nresources:\n  <<: {cpu: 1}\n"
    assert only_mistake_of(text).endswith("merge keys are not read; write the fields out")


def test_an_alias_stands_for_its_value():
    text = "kind: job\nname: &name flights\ncommand: [echo, *name]\n"
    job = load_workload(text, "train.yaml")
    assert isinstance(job, Job)
    assert job.command == ("echo", "flights")


def test_aliases_that_would_stand_for_a_thousand_million_values_are_refused_early():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 10):
        aliases = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} [{aliases}]")
    assert "more than 10000 values" in only_mistake_of("\n".join(lines))


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 50_000, "- " * 100_000])
def test_deep_nesting_is_refused_early(text):
    assert "nested more than 32 deep" in only_mistake_of(text)


def test_a_huge_file_is_refused_before_it_is_read():
    assert "at most 262144 are read" in only_mistake_of("a" * 300_000)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("1.10", '`1.10` without quotes is read as the number 1.1, and a text is needed; write "'),
        ("8080", '`8080` without quotes is read as the number 8080, and a text is needed; write "'),
        ("true", '`true` without quotes is read as true or false, and a text is needed; write "'),
        ("", "nothing stands where a text is needed"),
        ("[a]", "a list stands where a text is needed"),
        ("{a: b}", "a mapping stands where a text is needed"),
    ],
)
def test_a_value_that_is_no_text_says_what_it_is_read_as(written, said):
    text = f"kind: job\nname: a\ncommand: [a]\nvariables:\n  VERSION: {written}\n"
    assert said in only_mistake_of(text)


@pytest.mark.parametrize("written", ["on", "no", "yes", "off", "y", "1:30", "2026-11-22", "0123"])
def test_what_older_yaml_turned_into_something_else_stays_text(written):
    text = f"kind: job\nname: a\ncommand: [a]\nvariables:\n  on: {written}\n"
    job = load_workload(text, "train.yaml")
    assert isinstance(job, Job)
    assert job.variables == {"on": written}


@pytest.mark.parametrize("written", ["true", "yes", "on", "True"])
def test_a_truth_value_may_be_written_in_the_usual_ways(written):
    text = ENDPOINT + f"requirements: {{scale_to_zero: {written}}}\n"
    assert load_workload(text, "endpoint.yaml").requirements.scale_to_zero


@pytest.mark.parametrize("field", ["cpu", "memory"])
@pytest.mark.parametrize("number", ["0", "-1", ".nan", ".inf", "-.inf", "1e300", "true", "9" * 40])
def test_numbers_that_are_no_size_are_refused(field, number):
    text = ENDPOINT + f"resources: {{{field}: {number}}}\n"
    assert f"train.yaml:6: resources.{field}: " in only_mistake_of(text)


@pytest.mark.parametrize("number", ["0", "-5m", ".inf", "1e300", "true", "1:30", "400d", "9" * 400])
def test_numbers_that_are_no_duration_are_refused(number):
    assert "train.yaml:6: grace: " in only_mistake_of(ENDPOINT + f"grace: {number}\n")


@pytest.mark.parametrize("number", ["true", "0", "11", "1.5", "a", "9" * 5000])
def test_numbers_that_are_no_count_are_refused(number):
    text = f"kind: job\nname: a\ncommand: [a]\nattempts: {number}\n"
    assert len(only_mistake_of(text)) < 400


def test_a_mistake_inside_a_short_form_is_shown_where_that_stands():
    text = ENDPOINT + "resources:\n  accelerator: A100:0\n"
    assert only_mistake_of(text).startswith("train.yaml:7: resources.accelerator.count: `0`")


def test_a_rule_on_a_whole_mapping_is_shown_at_the_mapping():
    text = "kind: job\nname: a\ncommand: [a]\nenvironment: {file: a.txt, packages: [b]}\n"
    assert only_mistake_of(text) == (
        "train.yaml:4: environment: give `file` or `packages`, not both"
    )


def test_a_wrong_key_of_a_mapping_is_shown_at_the_key():
    text = "kind: job\nname: a\ncommand: [a]\nvariables:\n  A: a\n  PLINTH_KEY: b\n"
    assert only_mistake_of(text).startswith("train.yaml:6: variables.PLINTH_KEY: `PLINTH_KEY` is")


def test_a_list_item_is_shown_at_its_line():
    text = "kind: job\nname: a\ncommand:\n  - python\n  - 3\n"
    assert only_mistake_of(text).startswith("train.yaml:5: command[1]: `3` without quotes")


def test_a_command_may_be_one_text():
    text = "kind: job\nname: a\ncommand: python train.py --title 'two words'\n"
    job = load_workload(text, "train.yaml")
    assert isinstance(job, Job)
    assert job.command == ("python", "train.py", "--title", "two words")


@pytest.mark.parametrize(
    "command",
    [
        "echo $HOME",
        'echo "$HOME"',
        "echo $(date)",
        "echo `date`",
        "a | b",
        "a && b",
        "a; b",
        "a > b",
        "a &",
        '"a\\nb"',
    ],
)
def test_a_command_that_needs_a_shell_is_refused_with_what_to_write(command):
    text = f"kind: job\nname: a\ncommand: {command if command[0] == chr(34) else repr(command)}\n"
    assert "write `[sh, -c, '...']`" in only_mistake_of(text)


def test_a_command_that_names_its_shell_is_accepted():
    text = "kind: job\nname: a\ncommand: sh -c 'echo $HOME | wc'\n"
    job = load_workload(text, "train.yaml")
    assert isinstance(job, Job)
    assert job.command == ("sh", "-c", "echo $HOME | wc")


def test_a_command_with_an_open_quote_is_refused():
    text = 'kind: job\nname: a\ncommand: python "train.py\n'
    assert "cannot be split into words: No closing quotation" in only_mistake_of(text)


@pytest.mark.parametrize("command", ["[]", "''", "'  '"])
def test_an_empty_command_is_refused(command):
    text = f"kind: job\nname: a\ncommand: {command}\n"
    assert "it is empty" in only_mistake_of(text)


def test_a_zero_byte_in_a_command_is_refused():
    text = 'kind: job\nname: a\ncommand: ["a\\0b"]\n'
    assert "a zero byte cannot be passed" in only_mistake_of(text)


def test_a_file_full_of_mistakes_is_cut_in_the_message_and_whole_for_programs():
    text = ENDPOINT + "".join(f"field{number}: 1\n" for number in range(60))
    with pytest.raises(LoadError) as caught:
        load_workload(text, "train.yaml")
    assert len(caught.value.mistakes) == 60
    assert caught.value.message.splitlines()[-1] == "and 10 more mistakes"


def test_the_error_has_the_one_json_shape():
    with pytest.raises(LoadError) as caught:
        load_workload("", "train.yaml")
    error = caught.value.to_json()["error"]
    assert error["code"] == "invalid_file"
    assert error["message"] == "train.yaml:1: the file is empty"


def test_other_types_are_read_by_the_same_words():
    assert load_as(ResourceRequest, "cpu: 2\n", "a.yaml").cpu == 2.0
    with pytest.raises(LoadError, match=r"a\.yaml:1: cpus: unknown field; did you mean `cpu`"):
        load_as(ResourceRequest, "cpus: 2\n", "a.yaml")


CHARACTERS = "\t[]{}>'\"#~@`\r\n\0\x85\u2028\ufeff\ud800"
TOKENS = r"<<: |? |no|1.10|.nan|kind: |null|  |\U|\xZZ|models:/|::|%YAML 9|!!str |!<|: |- |&a |*a"
PIECES = st.sampled_from([*CHARACTERS, *TOKENS.split("|"), "|\n", "---\n", "...\n", "9" * 50])


@st.composite
def mutated(draw):
    text = draw(st.sampled_from([JOB, ENDPOINT]))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        piece = draw(PIECES | st.text(max_size=4) | st.just(""))
        text = text[:start] + piece + text[end:]
    return text


def refused(text: str) -> LoadError | None:
    try:
        load_workload(text, "train.yaml")
    except LoadError as err:
        return err
    return None


@settings(max_examples=150, deadline=None)
@given(mutated())
def test_a_mutated_file_is_read_or_refused_with_lines_that_exist(text):
    lines = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").count("\n") + 1
    error = refused(text)
    if error is not None:
        assert error.mistakes
        assert all(1 <= mistake.line <= lines for mistake in error.mistakes)
        assert all(mistake.column >= 1 for mistake in error.mistakes)
        assert len(error.message.splitlines()) >= len(error.mistakes)


def examples() -> list[Path]:
    folder = Path(__file__).parents[2] / "examples"
    return [file for file in sorted(folder.rglob("*.yaml")) if "kind:" in file.read_text()]


@pytest.mark.parametrize("file", examples(), ids=lambda file: file.name)
def test_every_example_is_read(file):
    load_workload(file.read_text(), file.name)


def test_a_mistake_of_a_file_that_is_read_quickly_is_told_in_the_same_words():
    for text in ("cpu: [", "cpu: 1\n\tmemory: 2", "cpu: 1\ncpu: 2", "cpu: -1", "*a", "memory:1"):
        told = []
        for quick in (True, False):
            with pytest.raises(LoadError) as caught:
                load_as(ResourceRequest, text, "a.yaml", quick=quick)
            told.append(caught.value.message)
        assert told[0] == told[1]


def test_fields_that_do_not_go_together_are_shown_where_they_stand():
    text = """\
kind: endpoint
name: chat
deployments:
  a:
    external:
      url: https://api.example.com/v1
      protocol: openai
      api_version: "2024-10-21"
  b:
    model: models:/m/1
    external:
      url: https://api.example.com/v1
      protocol: openai
health: {path: health}
"""
    assert mistakes_of(text) == [
        "train.yaml:8: deployments.a.external.api_version: `api_version` is only of "
        "`protocol: azure-openai`",
        "train.yaml:11: deployments.b.external: give `model` or `external`, one of the two",
        "train.yaml:14: health.path: `health` is not a path to ask; write it like `/health`: it "
        "begins with `/`, and letters, digits, `/`, `.`, `_`, `~` and `-` follow, at most 200",
    ]


def test_every_contradiction_of_the_traffic_has_its_own_line():
    text = """\
kind: endpoint
name: delay
deployments:
  blue: {model: "models:/m/1"}
  green: {model: "models:/m/2"}
traffic:
  blue: 90
  red: 20
match:
  green: {}
"""
    assert mistakes_of(text) == [
        "train.yaml:6: traffic: `traffic` sums to 110; 100 is needed",
        "train.yaml:8: traffic.red: `traffic` names `red`; there are `blue`, `green`",
        "train.yaml:10: match.green: `match` of `green` names no header",
    ]
