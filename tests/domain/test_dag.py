"""What keeps a flow's folder from running is found before anything runs, with the node's name."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from plinth.domain.dag import flow_problems

TOOL = "from promptflow.core import tool\n\n@tool\ndef run(text: str) -> str:\n    return text\n"
FILES = {"ask.jinja2": "{{question}}", "tidy.py": TOOL}


def ask(**fields: Any) -> dict[str, Any]:
    node = {
        "name": "ask",
        "type": "llm",
        "source": {"type": "code", "path": "ask.jinja2"},
        "inputs": {"deployment_name": "chat", "question": "${inputs.question}"},
        "connection": "any_name",
        "provider": "AzureOpenAI",
    }
    return node | fields


def tidy(**fields: Any) -> dict[str, Any]:
    node = {
        "name": "tidy",
        "type": "python",
        "source": {"type": "code", "path": "tidy.py"},
        "inputs": {"text": "${ask.output}"},
    }
    return node | fields


def problems(*nodes: Any, tool: str = TOOL, connections: Any = None, **fields: Any) -> list[str]:
    dag = {
        "inputs": {"question": {"type": "string"}},
        "outputs": {"answer": {"type": "string", "reference": "${tidy.output}"}},
        "nodes": list(nodes or (ask(), tidy())),
    }
    files = {**FILES, "tidy.py": tool, "flow.dag.yaml": yaml.safe_dump(dag | fields)}
    return flow_problems(None, connections or {}, files.get)


def app_problems(app: str, **files: str) -> list[str]:
    named = {f"{name.replace('_', '/')}.py": text for name, text in files.items()}
    return flow_problems(app, {}, named.get)


def test_a_flow_that_can_run_has_none() -> None:
    assert problems() == []


def test_a_folder_without_a_dag_says_what_else_it_may_be() -> None:
    (said,) = flow_problems(None, {}, {}.get)
    assert "holds no `flow.dag.yaml`" in said
    assert "`app: main:app`" in said


@pytest.mark.parametrize("text", ["a: [", "nodes: {}", "- 1", "", "nodes: []"])
def test_what_is_no_dag_is_told_once(text: str) -> None:
    (said,) = flow_problems(None, {}, {"flow.dag.yaml": text}.get)
    assert "`flow.dag.yaml`" in said


def test_a_cycle_is_told_as_the_path_that_leads_back() -> None:
    nodes = (ask(inputs={"question": "${tidy.output}"}), tidy())
    assert problems(*nodes) == [
        "the nodes wait for each other in a cycle: `ask` -> `tidy` -> `ask`"
    ]
    assert "`ask` -> `ask`" in problems(ask(inputs={"q": "${ask.output}"}), tidy())[0]


def test_a_condition_counts_as_waiting() -> None:
    waits = ask(activate={"when": "${tidy.output}", "is": True})
    assert "cycle" in problems(waits, tidy())[0]


def test_two_ways_to_a_node_are_no_cycle() -> None:
    both = tidy(name="both", inputs={"text": "${ask.output}", "b": "${tidy.output}"})
    tool = TOOL.replace("text: str)", "text: str, b: str = '')")
    assert problems(ask(), tidy(), both, tool=tool) == []


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        (
            (ask(inputs={"q": "${inputs.quest}"}), tidy()),
            "node `ask` refers to input `quest`, which there is not; did you mean `question`?",
        ),
        (
            (ask(), tidy(inputs={"text": "${asks.output}"})),
            "node `tidy` refers to node `asks`, which there is not; did you mean `ask`?",
        ),
        (
            (ask(), tidy(source={"type": "code", "path": "gone.py"})),
            "node `tidy`: there is no file `gone.py` in the folder",
        ),
        ((ask(), tidy(), tidy()), "`flow.dag.yaml`: two nodes are called `tidy`"),
        ((ask(), tidy(), {"type": "llm"}), "`flow.dag.yaml`: `nodes.2` has no `name`"),
        (
            (ask(connection=None), tidy()),
            "node `ask` names no `connection`; any name will do, it leads to the gateway: "
            "`connection: open_ai_connection`",
        ),
        (
            (ask(provider="Serverless"), tidy()),
            "node `ask`: `provider` is `Serverless`; `AzureOpenAI` and `OpenAI` lead to the "
            "gateway",
        ),
        (
            (
                {"name": "ask", "type": "llm", "connection": "c", "provider": "OpenAI"},
                tidy(),
            ),
            "node `ask` has no `source`",
        ),
        (
            (ask(provider=None), tidy()),
            "node `ask` names no `provider`; `AzureOpenAI` and `OpenAI` lead to the gateway",
        ),
        (
            (ask(), tidy(source={"path": 5})),
            "node `tidy`: `source.path` is `5`; it must be a file's name, like `tool.py`",
        ),
        (
            (ask(), tidy(source={"type": "code"})),
            "node `tidy`: `source.path` is `missing`; it must be a file's name, like `tool.py`",
        ),
        (
            (ask(), tidy(inputs={"txt": "${ask.output}"})),
            "node `tidy` gives its tool the input `txt`, which that has not "
            "(did you mean `text`?); it has text",
        ),
        (
            (ask(), tidy(inputs={})),
            "node `tidy` does not give its tool the input `text`, which has no default",
        ),
    ],
)
def test_a_mistake_names_its_node(nodes: tuple[Any, ...], said: str) -> None:
    assert problems(*nodes) == [said]


def test_an_output_refers_to_what_there_is() -> None:
    said = problems(outputs={"answer": {"type": "string", "reference": "${tidi.output}"}})
    assert said == ["output `answer` refers to node `tidi`, which there is not"]


@pytest.mark.parametrize("reference", [None, "", 3, ["${tidy.output}"]])
def test_an_output_has_a_reference(reference: Any) -> None:
    said = problems(outputs={"answer": {"type": "string", "reference": reference}})
    assert said == ["output `answer` has no `reference`, like `reference: ${NODE.output}`"]


@pytest.mark.parametrize(
    ("given", "shown"),
    [({"type": "foo"}, "foo"), ({}, "missing"), ("string", "missing"), ({"type": 3}, "3")],
)
def test_a_type_is_one_of_those_that_there_are(given: Any, shown: str) -> None:
    (said,) = problems(inputs={"question": given})
    assert said.startswith(
        f"input `question`: `type` is `{shown}`; it must be one of `string`, `int`, `double`, "
    )
    (said,) = problems(outputs={"answer": {"type": "str", "reference": "${tidy.output}"}})
    assert said.startswith("output `answer`: `type` is `str`; it must be one of `string`")


def test_inputs_have_names() -> None:
    said = problems(inputs=["question"])
    assert said[-1] == "`flow.dag.yaml`: `inputs` has names, like `inputs: {NAME: {type: string}}`"


def test_a_flow_in_another_language_is_refused() -> None:
    assert problems(language="python") == []
    assert problems(language="csharp") == [
        "`flow.dag.yaml`: `language` is `csharp`; only flows in `python` are hosted"
    ]


def test_a_node_from_a_package_needs_no_file() -> None:
    assert problems(ask(), tidy(source={"type": "package", "tool": "a.b.c"})) == []


def test_a_file_without_a_tool_is_told() -> None:
    assert problems(tool="def run(text): ...\n") == [
        "node `tidy`: `tidy.py` has no function with `@tool`; write "
        "`from promptflow.core import tool` and `@tool`"
    ]


def test_everything_is_told_at_once() -> None:
    assert len(problems(ask(connection=None), tidy(inputs={"text": "${gone.output}"}))) == 2


def test_each_variant_of_a_node_is_checked() -> None:
    variants = {
        "plain": {"node": ask()},
        "bad": {"node": ask(source={"type": "code", "path": "gone.jinja2"})},
    }
    for each in variants.values():
        del each["node"]["name"]
    uses = {"name": "ask", "use_variants": True}
    said = problems(uses, tidy(), node_variants={"ask": {"variants": variants}})
    assert said == ["node `ask`: there is no file `gone.jinja2` in the folder"]
    (said_none, *_) = problems(uses, tidy())
    assert said_none == "node `ask` uses variants, and `node_variants` has none for it"


CUSTOM = "from promptflow.connections import CustomConnection\n" + TOOL.replace(
    "text: str", "text: str, search: CustomConnection"
)


def test_a_custom_connection_has_to_be_described() -> None:
    node = tidy(inputs={"text": "${ask.output}", "search": "my_search"})
    (said,) = problems(ask(), node, tool=CUSTOM)
    assert said.startswith("node `tidy` needs the connection `my_search` (CustomConnection), which")
    assert problems(ask(), node, tool=CUSTOM, connections={"my_search": {}}) == []


def test_a_connection_that_is_not_given_is_missing() -> None:
    (said,) = problems(ask(), tidy(), tool=CUSTOM)
    assert said == "node `tidy` has no connection for its input `search` (CustomConnection)"


def test_a_tools_connection_to_a_model_leads_to_the_gateway() -> None:
    either = CUSTOM.replace(
        "search: CustomConnection", "search: Union[OpenAIConnection, AzureOpenAIConnection]"
    )
    node = tidy(inputs={"text": "${ask.output}", "search": "whatever"})
    assert problems(ask(), node, tool=either) == []


def test_a_tool_that_is_no_python_is_told() -> None:
    (said,) = problems(tool="def broken(:\n")
    assert said.startswith("node `tidy`: `tidy.py` is not Python: ")


def test_an_app_is_looked_for_in_the_folder() -> None:
    assert app_problems("main:app", main="app = 1\n") == []
    assert app_problems("main:app", main="from where import app\n") == []
    assert app_problems("main:app", main="def app(): ...\n") == []
    assert app_problems("main:graph.compiled", main="graph = 1\n") == []
    # It may be a module of a package, or made when the module runs.
    assert app_problems("package.module:app") == []
    assert app_problems("main:app", main="from where import *\n") == []


def test_an_app_that_is_not_there_names_the_nearest() -> None:
    assert app_problems("main:ap", main="app = 1\n") == [
        "`app`: `main.py` has no `ap`; did you mean `app`?"
    ]
    assert app_problems("main:zebra", main="app = 1\n") == ["`app`: `main.py` has no `zebra`"]
    (said,) = app_problems("main:app", main="app =\n")
    assert said.startswith("`app`: `main.py` is not Python: ")


ALIASES = "a0: &a0 [x]\n" + "".join(
    f"a{each}: &a{each} [{', '.join([f'*a{each - 1}'] * 8)}]\n" for each in range(1, 13)
)


@pytest.mark.parametrize(
    "hostile",
    [
        *("[" * 500, "{a: " * 500, " " * 300_000),
        ALIASES + "nodes: [{name: n, type: *a12}]",
        ALIASES + "nodes: [{name: n, type: llm, connection: c, provider: *a12}]",
        "nodes: [{name: n, type: python, source: {path: 2024-13-45}}]",
        "a: !!int abc\nnodes: [{name: n}]",
        "a: !!timestamp zz\nnodes: [{name: n}]",
        "nodes: [" + ", ".join(f"{{name: n{each}, type: llm}}" for each in range(600)) + "]",
    ],
)
def test_a_hostile_dag_is_refused_and_ends(hostile: str) -> None:
    said = flow_problems(None, {}, {"flow.dag.yaml": hostile}.get)
    assert 0 < len(said) <= 21
    assert all(len(each) < 400 for each in said)


@pytest.mark.parametrize(
    ("tool", "said"),
    [
        ("x = " + "-" * 100_000 + "1", "nested too deeply"),
        ("x = " + "a+" * 60_000 + "a", "nested too deeply"),
        ("x = 1\n" * 100_000, "more than 500,000 characters"),
        ("x = '\0'", "is not Python"),
    ],
)
def test_a_hostile_tool_is_refused_and_ends(tool: str, said: str) -> None:
    assert said in problems(tool=tool)[0]
    assert said in app_problems("main:app", main=tool)[0]


def test_no_more_is_told_than_can_be_read() -> None:
    nodes = [tidy(name=f"n{each}", inputs={"text": "${gone.output}"}) for each in range(100)]
    said = problems(*nodes, outputs={})
    assert len(said) == 21
    assert said[-1] == "there is more; correct these first"


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (tidy(type="pyhton"), "node `tidy`: `type` is `pyhton`; it must be one of `llm`, `python`"),
        (tidy(type=None), "node `tidy`: `type` is `missing`"),
        (tidy(type=["python"]), "node `tidy`: `type` is `a list`"),
        (tidy(source="tidy.py"), "node `tidy`: `source` has fields, like `source: {type: code"),
    ],
)
def test_a_field_of_another_kind_is_told(node: dict[str, Any], said: str) -> None:
    assert problems(ask(), node)[0].startswith(said)


def test_a_connection_is_a_name() -> None:
    for wrong in ([], ["a"], {"a": 1}, 7):
        node = tidy(inputs={"text": "${ask.output}", "search": wrong})
        assert "no name of a connection" in problems(ask(), node, tool=CUSTOM)[0]


def test_the_default_variant_is_one_of_the_variants() -> None:
    variants = {"plain": {"node": {key: value for key, value in ask().items() if key != "name"}}}
    uses = {"name": "ask", "use_variants": True}
    of_ask = {"variants": variants, "default_variant_id": "plian"}
    (said,) = problems(uses, tidy(), node_variants={"ask": of_ask})
    assert said == "node `ask`: `default_variant_id` is `plian`; its variants are `plain`"
    of_ask["default_variant_id"] = "plain"
    assert problems(uses, tidy(), node_variants={"ask": of_ask}) == []


PARTS = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)
    ),
    lambda below: st.one_of(
        st.lists(below, max_size=3),
        st.dictionaries(
            st.sampled_from(["name", "type", "source", "path", "inputs", "a", "variants", "node"]),
            below,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(["nodes", "inputs", "outputs", "node_variants"]), PARTS, max_size=4
    ),
    st.lists(PARTS, max_size=3),
)
def test_any_yaml_is_answered(fields: dict[str, Any], nodes: list[Any]) -> None:
    for each in (fields, {**fields, "nodes": nodes}):
        said = flow_problems(None, {}, {"flow.dag.yaml": yaml.safe_dump(each)}.get)
        assert all(isinstance(one, str) for one in said)


def test_a_long_chain_of_nodes_is_followed_to_its_end() -> None:
    nodes = [
        tidy(name=f"n{each}", inputs={"text": f"${{n{each + 1}.output}}"}) for each in range(300)
    ]
    last = tidy(name="n300", inputs={"text": "${n0.output}"})
    assert problems(*nodes, last, outputs={})[0].startswith("the nodes wait for each other")
