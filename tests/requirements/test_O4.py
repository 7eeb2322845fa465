"""O4: an off-the-shelf flow comes before hosting LangChain or Semantic Kernel oneself."""

from __future__ import annotations

import pytest

from plinth.control.flows.preparation import flow_environment
from plinth.domain.application import Application
from plinth.domain.plan import Outcome
from plinth.planning.rules.flow import tool_is_hosted
from plinth.runtimes.runtime import load_runtimes
from tests.control.flows.stand import flow_of
from tests.planning.rules.placed import application, need, need_of, place, tried

ENDS = "; the prompt flow service ends on 2027-04-20, then Microsoft Agent Framework"


def written_for(tool: str) -> Application:
    return application("flow", flow={"tool": tool})


@pytest.mark.parametrize(
    ("platform", "how"),
    [
        ("prompt-flow", "deployed to a managed online endpoint"),
        ("aks", "in a container of your own"),
        ("azureml-online-endpoint", "as a deployment of a flow, with 300 s for a request"),
    ],
)
def test_a_prompt_flow_is_accepted_and_its_end_is_told(platform: str, how: str) -> None:
    said = tool_is_hosted(need_of(written_for("prompt-flow"), "flow"), place(platform))
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == f"off the shelf: it runs `flow.dag.yaml` {how}{ENDS}"


@pytest.mark.parametrize(
    ("tool", "title"),
    [
        ("langchain", "a LangChain application"),
        ("langgraph", "a LangGraph application"),
        ("semantic-kernel", "a Semantic Kernel application"),
    ],
)
def test_an_application_is_accepted_with_the_advice_to_look_off_the_shelf_first(
    tool: str, title: str
) -> None:
    said = tool_is_hosted(need_of(written_for(tool), "flow"), place("aks"))
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == (
        f"it hosts {title} in a container of your own; look first whether an off-the-shelf flow "
        "or agent does"
    )


def test_an_application_is_accepted_where_what_serves_is_ones_own_choice() -> None:
    asked = need_of(written_for("asgi"), "flow")
    chosen = tool_is_hosted(asked, place("data-science-vm"))
    taken = tool_is_hosted(asked, place("foundry-agent-service"))
    assert chosen is not None
    assert taken is not None
    assert chosen.reason.startswith(
        "it hosts an ASGI application: what serves there is your choice"
    )
    assert taken.reason.startswith("it hosts an ASGI application: it takes ASGI applications")


@pytest.mark.parametrize(
    ("tool", "platform", "reason", "change"),
    [
        (
            "prompt-flow",
            "foundry-agent-service",
            "a prompt flow is `flow.dag.yaml`; it takes `python`, `asgi-app`",
            "agent-service",
        ),
        (
            "langchain",
            "prompt-flow",
            "it runs `flow.dag.yaml`; a LangChain application could be one step of a flow there",
            "prompt-flow",
        ),
        (
            "agent-service",
            "aks",
            "an agent of the Foundry Agent Service runs in that service only",
            "prompt-flow",
        ),
        (
            "agent-service",
            "data-science-vm",
            "an agent of the Foundry Agent Service runs in that service only",
            "asgi",
        ),
    ],
)
def test_what_cannot_be_hosted_is_rejected_with_what_can(
    tool: str, platform: str, reason: str, change: str
) -> None:
    whole = written_for(tool)
    said = tool_is_hosted(need_of(whole, "flow"), place(platform))
    assert said is not None
    assert (said.outcome, said.reason) == (Outcome.NOT_OK, reason)
    assert str(said.change) == f"flow.tool: {change}"
    then = tried(tool_is_hosted, whole, place(platform), "flow")
    assert then is not None
    assert then.outcome is Outcome.OK


@pytest.mark.parametrize(
    ("tool", "platform", "fact"),
    [
        ("prompt-flow", "kubernetes", "a row in servers.yaml would say it"),
        ("asgi", "foundry-hub", "`control.server_choice` of its facts would say it"),
    ],
)
def test_a_missing_fact_is_unknown_and_is_named(tool: str, platform: str, fact: str) -> None:
    said = tool_is_hosted(need_of(written_for(tool), "flow"), place(platform))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert said.reason.endswith(f"is not known; {fact}")


def test_another_function_is_written_for_no_tool() -> None:
    assert tool_is_hosted(need(part="online"), place("aks")) is None


def test_a_prompt_flow_is_run_by_its_makers_own_executor_and_an_app_as_it_is() -> None:
    runtimes = load_runtimes()
    executor = runtimes[flow_of(app=None).runtime]
    assert any(each.startswith("promptflow-core==") for each in executor.packages)
    host = runtimes[flow_of(app="agent:graph").runtime]
    assert host.formats == ("asgi-app",)


def test_semantic_kernel_is_hosted_without_the_package_that_has_no_wheel() -> None:
    flow = flow_of(app="desk:app", environment={"packages": ["semantic-kernel==1.45.0"]})
    spec = flow_environment(flow, load_runtimes()[flow.runtime])
    assert "semantic-kernel==1.45.0" in spec.packages
    assert (spec.leave_out, spec.allow_source) == (("pybars4",), False)
