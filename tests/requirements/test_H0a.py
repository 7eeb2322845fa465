"""H0a: choose the model server for the platform, or the platform for the server."""

from __future__ import annotations

from plinth.catalog.platforms import load_facts
from plinth.catalog.servers import load_servers, platforms_for
from plinth.domain.need import needs_of
from plinth.domain.plan import Outcome, Verdict
from plinth.planning.rules.model import server_runs
from tests.planning.rules.placed import application, place, tried


def judged(platform: str, **online: object) -> Verdict:
    said = server_runs(needs_of(application(online=online))[0], place(platform))
    assert said is not None
    return said


def test_a_server_that_takes_the_format_there_is_accepted_with_how_it_runs() -> None:
    said = judged("aks", format="onnx", server="triton")
    assert said.outcome is Outcome.OK
    assert said.reason == (
        "`triton` runs there without code, as a Kubernetes online endpoint of Azure Machine "
        "Learning"
    )


def test_a_format_alone_names_the_servers_that_would_do() -> None:
    said = judged("azureml-online-endpoint", format="tensorflow-savedmodel")
    assert said.outcome is Outcome.OK
    assert said.reason == ("`tensorflow-savedmodel` is served by `triton` and `tensorflow-serving`")


def test_an_archived_server_is_rejected_for_one_that_takes_the_format_there() -> None:
    said = judged("kubernetes", format="torchscript", server="torchserve")
    assert said.outcome is Outcome.NOT_OK
    assert said.reason.startswith(
        "`torchserve` is archived: no updates, no security patches, its users went to Triton or "
        "vLLM"
    )
    assert said.remedy == "`online.server: triton`"
    whole = application(online={"format": "torchscript", "server": "torchserve"})
    assert tried(server_runs, whole, place("kubernetes")).outcome is Outcome.OK


def test_a_format_that_only_an_archived_server_takes_is_rejected_for_its_sibling() -> None:
    said = judged("data-science-vm", format="torch-archive")
    assert said.outcome is Outcome.NOT_OK
    assert said.reason.startswith("only `torchserve` takes `torch-archive` there, and")
    whole = application(online={"format": "torch-archive"})
    assert tried(server_runs, whole, place("data-science-vm")).outcome is Outcome.OK


def test_a_server_that_does_not_take_the_format_is_rejected() -> None:
    said = judged("aks", format="hugging-face", server="tensorflow-serving")
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == (
        "`tensorflow-serving` cannot be used there: takes `tensorflow-savedmodel`, not "
        "`hugging-face`"
    )
    whole = application(online={"format": "hugging-face", "server": "tensorflow-serving"})
    assert tried(server_runs, whole, place("aks")).outcome is Outcome.OK


def test_a_platform_with_a_server_of_its_own_lets_nobody_choose() -> None:
    said = judged("databricks-model-serving", format="mlflow-pyfunc", server="triton")
    assert said.outcome is Outcome.NOT_OK
    assert said.reason.endswith("the platform brings its own server")
    assert said.remedy == "`online.server: null`"
    whole = application(online={"format": "mlflow-pyfunc", "server": "mlflow-server"})
    then = tried(server_runs, whole, place("databricks-model-serving"))
    assert then.outcome is Outcome.OK
    assert then.reason == "`mlflow-pyfunc` is served by its own server"


def test_this_machine_serves_what_plinth_starts() -> None:
    assert judged("local", format="mlflow-pyfunc", server="v2server").outcome is Outcome.OK
    said = judged("local", format="hugging-face")
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == "no server takes `hugging-face` there"
    whole = application(online={"format": "hugging-face"})
    assert tried(server_runs, whole, place("local")).outcome is Outcome.OK


def test_a_pair_that_nobody_has_checked_is_unknown() -> None:
    said = judged("ray", format="onnx", server="triton")
    assert said.outcome is Outcome.UNKNOWN
    assert said.reason == (
        "whether `triton` runs there is not known: nobody has checked it; a row in servers.yaml "
        "would say it"
    )
    assert judged("ray", format="onnx").outcome is Outcome.UNKNOWN


def test_both_ways_of_asking_agree() -> None:
    """Where a server runs (platforms_for) is where the rule lets it run, unless it is archived."""
    facts = [each for each in load_facts() if "online" in each.functions]
    for server in load_servers():
        for found in platforms_for(server, facts):
            said = server_runs(
                needs_of(application(online={"server": server.name}))[0], place(found.platform)
            )
            if found.supported and server.maturity.stage != "archived":
                assert said is not None
                assert said.outcome is Outcome.OK
            elif said is not None:
                assert said.outcome is not Outcome.OK
