import pytest

from plinth.catalog.platforms import find_facts, load_facts, platform_names
from plinth.catalog.servers import (
    OWN_SERVER,
    find_server,
    load_servers,
    match_of,
    platforms_for,
    read_servers,
    servers_for,
)
from plinth.domain.load import LoadError
from plinth.domain.platform import ModelFormat
from plinth.kit.errors import NotFound
from plinth.runtimes.runtime import load_runtimes

SERVERS = load_servers()
ROW = """\
servers:
  - name: triton
    kind: model-server
    description: A server
    formats: [onnx]
    protocols: [open-inference-v2]
    source: this test
    checked: 2026-11-22
    runs_on:
      - platform: aks
        supported: true
        how: as a container
        source: this test
        checked: 2026-11-22
"""


def names(matches, answer):
    return [match.server for match in matches if match.supported is answer]


def test_the_servers_of_the_requirements_are_known():
    wanted = {"triton", "torchserve", "tensorflow-serving", "mlflow-server", "v2server", "vllm"}
    assert wanted | {"onnx-runtime", "kserve", "langchain", "semantic-kernel"} <= {
        server.name for server in SERVERS
    }


def test_every_row_names_platforms_that_exist():
    hosts = {host.platform for server in SERVERS for host in server.runs_on}
    assert hosts <= set(platform_names())


def test_what_plinth_starts_is_what_its_runtimes_say():
    started = {server.name: server.formats for server in SERVERS if server.started_by_plinth}
    # What hosts flows is no model server.
    runtimes = [each for each in load_runtimes().values() if each.protocol != "flow"]
    assert started == {runtime.name: runtime.formats for runtime in runtimes}


def test_choose_the_server_for_the_platform():
    found = servers_for(SERVERS, find_facts("azureml-online-endpoint"), "tensorflow-savedmodel")
    assert names(found, True) == ["triton", "tensorflow-serving"]
    assert found[0].why == "without code from a Triton model, or in a container of your own"


def test_choose_the_platform_for_the_server():
    found = platforms_for(find_server(SERVERS, "kserve"), load_facts(), "onnx")
    assert [match.platform for match in found if match.supported] == ["aks", "kubernetes"]
    endpoint = next(match for match in found if match.platform == "azureml-online-endpoint")
    assert endpoint.supported is False
    assert "cluster" in endpoint.why


@pytest.mark.parametrize("model_format", [None, *ModelFormat.__args__])
def test_both_ways_give_the_same_answers(model_format):
    platforms = load_facts()
    one_way = {
        (match.server, match.platform): match
        for platform in platforms
        for match in servers_for(SERVERS, platform, model_format)
        if match.server != OWN_SERVER
    }
    other_way = {
        (match.server, match.platform): match
        for server in SERVERS
        for match in platforms_for(server, platforms, model_format)
    }
    assert one_way == other_way


def test_what_can_comes_first_then_what_nobody_knows_then_what_cannot():
    found = [match.supported for match in servers_for(SERVERS, find_facts("aks"))]
    assert found == sorted(found, key=(True, None, False).index)
    assert None in found


def test_a_packaged_model_leaves_no_server_to_choose():
    found = servers_for(SERVERS, find_facts("azure-openai-standard"), "onnx")
    assert not names(found, True)
    own = next(match for match in found if match.server == OWN_SERVER)
    assert own.why == "it takes no model of yours"


def test_a_platform_with_its_own_server_says_which_formats_that_takes():
    serving = find_facts("databricks-model-serving")
    assert names(servers_for(SERVERS, serving, "mlflow-pyfunc"), True) == [OWN_SERVER]
    refused = servers_for(SERVERS, serving, "onnx")
    assert not names(refused, True)
    assert any(match.why == "takes `mlflow-pyfunc`, not `onnx`" for match in refused)


def test_formats_of_an_own_server_that_nobody_stated_are_unknown():
    found = servers_for(SERVERS, find_facts("synapse-spark"), "onnx")
    own = next(match for match in found if match.server == OWN_SERVER)
    assert own.supported is None


def test_a_pair_that_is_not_stated_is_unknown_and_not_no():
    match = match_of(find_server(SERVERS, "triton"), find_facts("ray"), "onnx")
    assert match.supported is None
    assert "nobody has checked it" in match.why


def test_a_server_that_is_archived_says_so_where_it_would_be_chosen():
    match = match_of(find_server(SERVERS, "torchserve"), find_facts("aks"), "torch-archive")
    assert match.supported is True
    assert match.maturity.stage == "archived"


def test_here_only_what_plinth_starts_is_a_yes():
    found = servers_for(SERVERS, find_facts("local"), "mlflow-pyfunc")
    assert names(found, True) == ["v2server"]
    assert not names(found, None)


def test_an_app_framework_is_hosted_and_hosts_nothing():
    found = platforms_for(find_server(SERVERS, "langchain"), load_facts(), "asgi-app")
    assert "foundry-agent-service" in [match.platform for match in found if match.supported]
    assert "langchain" not in platform_names()


def test_formats_of_a_pair_narrow_those_of_the_server():
    text = ROW.replace("[onnx]", "[onnx, python]").replace(
        "        how:", "        formats: [onnx]\n        how:"
    )
    (server,) = read_servers(text.encode())
    assert match_of(server, find_facts("aks"), "onnx").supported is True
    assert match_of(server, find_facts("aks"), "python").supported is False


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[onnx]", "[onix]", r"servers\.yaml:5: servers\[0\]\.formats\[0\]: .*mean `onnx`"),
        ("model-server", "server", r":3: servers\[0\]\.kind: .*model-server, library"),
        ("        source: this test\n", "", r"runs_on\[0\]: .*`source` is required"),
        ("supported: true", "supported: perhaps", r":11: servers\[0\]\.runs_on\[0\]\.supported"),
    ],
)
def test_a_wrong_row_is_refused_with_file_line_and_field(old, new, words):
    with pytest.raises(LoadError, match=words):
        read_servers(ROW.replace(old, new).encode())


def test_what_stands_twice_is_refused():
    with pytest.raises(LoadError, match="`triton` stands twice"):
        read_servers((ROW + ROW.split("\n", 1)[1]).encode())
    host = ROW.split("    runs_on:\n")[1]
    with pytest.raises(LoadError, match="`aks` stands twice; platforms of one server differ"):
        read_servers((ROW + host).encode())


def test_a_name_that_no_server_has_is_told_with_the_nearest():
    with pytest.raises(NotFound, match="did you mean `torchserve`"):
        find_server(SERVERS, "torch-serve")
