"""What keeps a flow's folder from running is found before anything runs, with the node's name."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

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
        "outputs": {"answer": {"reference": "${tidy.output}"}},
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
    both = tidy(name="both", inputs={"a": "${ask.output}", "b": "${tidy.output}"})
    assert problems(ask(), tidy(), both) == []


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
        (({"name": "ask", "type": "llm", "connection": "c"}, tidy()), "node `ask` has no `source`"),
    ],
)
def test_a_mistake_names_its_node(nodes: tuple[Any, ...], said: str) -> None:
    assert problems(*nodes) == [said]


def test_an_output_refers_to_what_there_is() -> None:
    said = problems(outputs={"answer": {"reference": "${tidi.output}"}})
    assert said == ["output `answer` refers to node `tidi`, which there is not"]


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


@pytest.mark.parametrize("deep", ["[" * 500, "{a: " * 500, " " * 300_000])
def test_a_hostile_dag_is_refused_and_ends(deep: str) -> None:
    assert flow_problems(None, {}, {"flow.dag.yaml": deep}.get) != []


def test_a_long_chain_of_nodes_is_followed_to_its_end() -> None:
    nodes = [
        tidy(name=f"n{each}", inputs={"text": f"${{n{each + 1}.output}}"}) for each in range(300)
    ]
    last = tidy(name="n300", inputs={"text": "${n0.output}"})
    assert problems(*nodes, last, outputs={})[0].startswith("the nodes wait for each other")
