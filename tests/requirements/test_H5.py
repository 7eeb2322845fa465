"""H5: private network, egress firewall. The advisor's half: which platform can be kept private."""

from __future__ import annotations

import pytest

from plinth.domain.need import needs_of
from plinth.domain.plan import Outcome
from plinth.domain.workload import Job
from plinth.planning.rules.protect import private_network_kept
from tests.planning.rules.placed import admitted, application, need, place, with_facts

PRIVATE = application(requirements={"private_network": True})


@pytest.mark.parametrize("name", ["local", "aks", "azureml-online-endpoint", "data-science-vm"])
def test_a_private_address_and_a_controlled_way_out_are_accepted(name: str) -> None:
    said = private_network_kept(needs_of(PRIVATE)[0], place(name))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "callers reach it privately, and what it connects to can be limited",
    )


def test_a_public_address_is_rejected() -> None:
    at = with_facts(place("azure-openai-standard"), network={"private_endpoint": False})
    said = private_network_kept(needs_of(PRIVATE)[0], at)
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.NOT_OK,
        "a private network is required; it can be reached by public addresses only",
    )
    assert said.remedy == "`online.requirements.private_network: false`"
    assert admitted(private_network_kept, PRIVATE, at)


def test_what_no_document_says_is_unknown() -> None:
    said = private_network_kept(needs_of(PRIVATE)[0], place("azureml-serverless-api"))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.UNKNOWN,
        "a private network is required; not known of it: private access, egress control",
    )
    hosted = private_network_kept(needs_of(PRIVATE)[0], place("azure-openai-standard"))
    assert hosted is not None
    assert hosted.reason.endswith("not known of it: egress control")


def test_nothing_is_asked_where_it_is_not_required() -> None:
    assert private_network_kept(need(), place("external-model-api")) is None


def test_an_open_job_is_not_private_wherever_it_runs() -> None:
    job = Job.model_validate(
        {
            "kind": "job",
            "name": "j",
            "command": ["true"],
            "network": "open",
            "requirements": {"private_network": True},
        }
    )
    said = private_network_kept(needs_of(job)[0], place("local", "local"))
    assert said is not None
    assert (said.outcome, said.reason, said.remedy) == (
        Outcome.NOT_OK,
        "a private network is required, and the file asks for the network `open`",
        "`network: gateway`",
    )
    closed = job.model_copy(update={"network": "gateway"})
    then = private_network_kept(needs_of(closed)[0], place("local", "local"))
    assert then is not None
    assert then.outcome is Outcome.OK


def test_an_api_of_another_provider_is_public() -> None:
    said = private_network_kept(needs_of(PRIVATE)[0], place("external-model-api"))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert "it can be reached by public addresses only" in said.reason


def test_a_flow_of_azure_machine_learning_can_be_kept_private() -> None:
    said = private_network_kept(needs_of(PRIVATE)[0], place("prompt-flow"))
    assert said is not None
    assert said.outcome is Outcome.OK
