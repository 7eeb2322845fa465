"""A plan needs no running Plinth."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.terminal import Terminal

APPLICATION = """\
kind: application
name: churn
requirements: {regions: [westeurope, northeurope]}
train:
  resources: {cpu: 4, memory: 16GB}
  demand: {runs: 8, duration: 2h}
online:
  format: mlflow-pyfunc
  demand: {requests_per_second: 5, replica_requests_per_second: 40}
"""


@pytest.fixture
def application_file(tmp_path: Path) -> Path:
    file = tmp_path / "churn.yaml"
    file.write_text(APPLICATION)
    return file


def test_a_plan_of_a_job_chooses_this_machine_and_says_why(
    terminal: Terminal, job_file: Path
) -> None:
    (terminal.home / "node.json").unlink()
    said = terminal("plan", job_file)
    assert said.code == 0
    assert all(word in said.out for word in ("local", "NOT CHOSEN", "do not do `train` at all"))
    (part,) = terminal("plan", job_file, "--json").json["parts"]
    assert (part["chosen"]["platform"], part["chosen"]["startable"]) == ("local", True)


def test_a_plan_of_an_application_places_each_part_and_adds_up(
    terminal: Terminal, application_file: Path
) -> None:
    said = terminal("plan", application_file)
    assert said.code == 0
    for word in (
        "train",
        "online",
        "`churn` fits: ",
        "home in westeurope",
        "What the choice weighs",
    ):
        assert word in said.out
    assert "Plinth itself starts jobs and endpoints on `local` only" in said.out
    told = terminal("plan", application_file, "--json").json
    assert [part["name"] for part in told["parts"]] == ["train", "online"]
    assert told["cost"]["amount"] is not None


def test_a_part_can_be_looked_at_with_every_verdict(
    terminal: Terminal, application_file: Path
) -> None:
    said = terminal("plan", application_file, "--part", "online")
    assert all(word in said.out for word in ("RULE", "VERDICT", "Regions that are ruled out"))
    refused = terminal("plan", application_file, "--part", "batch")
    assert (refused.code, "accepted: `train`, `online`" in refused.err) == (1, True)


def test_a_report_is_written_whole_or_not_at_all(
    terminal: Terminal, application_file: Path, tmp_path: Path
) -> None:
    report = tmp_path / "plan.html"
    said = terminal("plan", application_file, "--report", report)
    assert (said.code, f"the report is in `{report}`" in said.err) == (0, True)
    assert report.read_text().startswith("<!doctype html>")
    refused = terminal("plan", application_file, "--report", tmp_path / "none" / "plan.html")
    assert (refused.code, "cannot be written" in refused.err) == (1, True)


def test_what_fits_nowhere_ends_with_1_and_says_what_would_change_it(
    terminal: Terminal, job_file: Path
) -> None:
    job_file.write_text(job_file.read_text() + "resources: {cpu: 5000}\n")
    said = terminal("plan", job_file)
    assert said.code == 1
    assert "error: no platform fits" in said.err
    assert "`resources.cpu: " in said.err
    (part,) = terminal("plan", job_file, "--json").json["parts"]
    assert part["chosen"] is None


def test_what_if_shows_what_would_be_otherwise(terminal: Terminal, job_file: Path) -> None:
    said = terminal("plan", job_file, "--what-if", "cpu=5000", "--what-if", "memory=2GB")
    assert said.code == 1
    assert "with `resources.cpu: 5000` and `resources.memory: 2GB`" in said.out
    assert all(word in said.out for word in ("before", "chosen", "rejected", "needs 5000 cores"))
    told = terminal("plan", job_file, "--what-if", "cpu=5000", "--json").json
    assert told["parts"][0]["chosen"] is None
    assert told["what_if"]["before"]["parts"][0]["chosen"]["platform"] == "local"
    answers = {
        each["platform"]: (each["before"], each["after"]) for each in told["what_if"]["differences"]
    }
    assert answers["local"] == ("chosen", "rejected")


def test_what_if_of_what_all_parts_share_takes_the_short_name(
    terminal: Terminal, application_file: Path
) -> None:
    said = terminal("plan", application_file, "--what-if", "rto=1h", "--what-if", "regions=eu")
    assert said.code == 0
    assert 'with `requirements.rto: 1h` and `requirements.regions: ["eu"]`' in said.out


def test_what_if_that_changes_nothing_says_so(terminal: Terminal, job_file: Path) -> None:
    said = terminal("plan", job_file, "--what-if", "grace=3s")
    assert (said.code, "nothing is placed otherwise" in said.err) == (0, True)


def test_why_not_names_the_fewest_changes(terminal: Terminal, job_file: Path) -> None:
    said = terminal("plan", job_file, "--why-not", "local")
    assert (said.code, "no rule rejects it" in said.out) == (0, True)
    said = terminal("plan", job_file, "--what-if", "cpu=5000", "--why-not", "local")
    assert said.code == 0
    assert "the fewest changes that admit it: `resources.cpu: " in said.out
    asked = ("plan", job_file, "--what-if", "cpu=5000", "--why-not", "local", "--json")
    (told,) = terminal(*asked).json["why_not"]
    assert told["changes"][0]["field"] == "resources.cpu"
    assert told["would_be_chosen"] is True
    said = terminal("plan", job_file, "--what-if", "regions=eastus", "--why-not", "local")
    assert "`requirements.regions: [" in said.out


def test_why_not_names_what_would_have_to_be_owned(
    terminal: Terminal, application_file: Path
) -> None:
    said = terminal("plan", application_file, "--why-not", "kubernetes")
    assert said.code == 0
    assert "plinth inventory add kubernetes" in said.out


def test_a_change_or_platform_that_there_is_not_is_refused(
    terminal: Terminal, job_file: Path
) -> None:
    said = terminal("plan", job_file, "--what-if", "cpus=1")
    assert (said.code, "did you mean `cpu`" in said.err) == (1, True)
    said = terminal("plan", job_file, "--why-not", "lokal")
    assert (said.code, "did you mean `local`" in said.err) == (1, True)
    job_file.write_text(job_file.read_text() + "requirements: {platform: azurml-online-endpoint}\n")
    assert "did you mean `azureml-online-endpoint`" in terminal("plan", job_file).err


def test_an_application_is_planned_and_not_run(terminal: Terminal, application_file: Path) -> None:
    said = terminal("run", application_file)
    assert (said.code, "is planned and not started as a whole" in said.err) == (1, True)


def test_a_currency_without_a_rate_is_refused_with_how_to_state_one(
    terminal: Terminal, application_file: Path
) -> None:
    said = terminal("plan", application_file, "--currency", "EUR")
    assert (said.code, "no rate from it is stated" in said.err) == (1, True)
    assert "kind: exchange-rates" in said.err
    assert "is not a currency" in terminal("plan", application_file, "--currency", "euro").err


SEVERAL = """\
kind: endpoint
name: delay
deployments:
  blue: {model: models:/m/1, resources: {cpu: 2}}
  green: {model: models:/m/2, replicas: 2}
  burst: {external: {url: "https://1.1.1.1", protocol: open-inference, region: eastus}}
traffic: {blue: 90, green: 10, burst: 0}
"""


def test_an_endpoint_with_several_deployments_is_planned_part_by_part(
    terminal: Terminal, tmp_path: Path
) -> None:
    file = tmp_path / "delay.yaml"
    file.write_text(SEVERAL)
    said = terminal("plan", file)
    assert said.code == 0
    assert "`burst` is served at `1.1.1.1`: it needs no platform here" in said.out
    told = terminal("plan", file, "--json").json
    assert [part["name"] for part in told["parts"]] == ["blue", "green"]
    assert [each["rule"] for each in told["external"]] == ["external"]
    what_if = terminal("plan", file, "--what-if", "deployments.green.replicas=3", "--json")
    assert what_if.code == 0


def test_data_that_may_not_go_to_a_model_elsewhere_is_said_before_anything_is_applied(
    terminal: Terminal, tmp_path: Path
) -> None:
    file = tmp_path / "delay.yaml"
    file.write_text(SEVERAL + "requirements: {residency: eu}\n")
    report = tmp_path / "report.html"
    said = terminal("plan", file, "--report", report)
    assert said.code == 1
    assert "`delay` may not send its requests elsewhere" in said.err
    assert "R2.residency: `burst`: data must stay in `eu`" in said.err
    assert "may not send its requests elsewhere" in report.read_text()


def test_an_endpoint_that_is_wholly_external_needs_no_platform(
    terminal: Terminal, tmp_path: Path
) -> None:
    file = tmp_path / "chat.yaml"
    external = "external: {url: 'https://1.1.1.1/v1', protocol: openai}"
    file.write_text(f"kind: endpoint\nname: chat\n{external}\n")
    report = tmp_path / "report.html"
    said = terminal("plan", file, "--report", report)
    assert said.code == 0
    assert "`chat` needs no platform: all its models are served elsewhere" in said.out
    assert "needs no platform" in report.read_text()
    assert terminal("plan", file, "--json").json["parts"] == []
