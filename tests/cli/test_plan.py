"""A plan needs no running Plinth."""

from __future__ import annotations

from pathlib import Path

from tests.cli.terminal import Terminal


def test_a_plan_shows_every_rule(terminal: Terminal, job_file: Path) -> None:
    (terminal.home / "node.json").unlink()
    said = terminal("plan", job_file)
    assert said.code == 0
    assert all(word in said.out for word in ("chosen", "RULE", "VERDICT"))
    assert terminal("plan", job_file, "--json").json["chosen"]["platform"] == "local"


def test_what_fits_nowhere_ends_with_1_and_says_what_would_change_it(
    terminal: Terminal, job_file: Path
) -> None:
    job_file.write_text(job_file.read_text() + "resources: {cpu: 5000}\n")
    said = terminal("plan", job_file)
    assert said.code == 1
    assert "error: " in said.err
    assert terminal("plan", job_file, "--json").json["chosen"] is None


def test_what_if_shows_what_would_be_otherwise(terminal: Terminal, job_file: Path) -> None:
    said = terminal("plan", job_file, "--what-if", "cpu=5000", "--what-if", "memory=2GB")
    assert said.code == 1
    assert "with `resources.cpu: 5000` and `resources.memory: 2GB`" in said.out
    assert all(word in said.out for word in ("before", "chosen", "rejected", "needs 5000 cores"))
    told = terminal("plan", job_file, "--what-if", "cpu=5000", "--json").json
    assert told["chosen"] is None
    assert told["what_if"]["before"]["chosen"]["platform"] == "local"
    (difference,) = told["what_if"]["differences"]
    assert (difference["before"], difference["after"]) == ("chosen", "rejected")


def test_what_if_that_changes_nothing_says_so(terminal: Terminal, job_file: Path) -> None:
    said = terminal("plan", job_file, "--what-if", "grace=3s")
    assert (said.code, "no rule says anything else" in said.err) == (0, True)


def test_why_not_names_the_fewest_changes(terminal: Terminal, job_file: Path) -> None:
    said = terminal("plan", job_file, "--why-not", "local")
    assert (said.code, "no rule rejects it" in said.out) == (0, True)
    said = terminal("plan", job_file, "--what-if", "cpu=5000", "--why-not", "local")
    assert said.code == 0
    assert "the fewest changes that admit it: `resources.cpu: " in said.out
    asked = ("plan", job_file, "--what-if", "cpu=5000", "--why-not", "local", "--json")
    told = terminal(*asked).json["why_not"]
    assert told["changes"][0]["field"] == "resources.cpu"
    assert told["would_be_chosen"] is True
    said = terminal("plan", job_file, "--what-if", "regions=mars", "--why-not", "local")
    assert "`requirements.regions: [" in said.out


def test_a_change_or_platform_that_there_is_not_is_refused(
    terminal: Terminal, job_file: Path
) -> None:
    said = terminal("plan", job_file, "--what-if", "cpus=1")
    assert (said.code, "did you mean `cpu`" in said.err) == (1, True)
    said = terminal("plan", job_file, "--why-not", "lokal")
    assert (said.code, "did you mean `local`" in said.err) == (1, True)


def test_a_platform_that_is_known_but_has_no_engine_is_told_apart_from_a_wrong_name(
    terminal: Terminal, job_file: Path
) -> None:
    written = job_file.read_text()
    job_file.write_text(written + "requirements: {platform: azureml-online-endpoint}\n")
    said = terminal("plan", job_file)
    assert (said.code, "cannot run anything there yet" in said.err) == (1, True)
    assert "set `requirements.platform: local`" in said.err
    job_file.write_text(written + "requirements: {platform: azurml-online-endpoint}\n")
    assert "the nearest is `azureml-online-endpoint`" in terminal("plan", job_file).err


def test_why_not_knows_platforms_that_have_nothing_to_offer_yet(
    terminal: Terminal, job_file: Path
) -> None:
    said = terminal("plan", job_file, "--why-not", "aks")
    assert (
        said.code,
        "`aks` is known to Plinth, which cannot run anything there yet" in said.out,
    ) == (0, True)
    said = terminal("plan", job_file, "--why-not", "databrick-jobs")
    assert "did you mean `databricks-jobs`" in said.err
