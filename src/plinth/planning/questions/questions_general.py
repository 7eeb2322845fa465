"""Questions about the whole application, and about its data."""

from __future__ import annotations

from plinth.catalog.platforms import platform_names
from plinth.catalog.regions import load_regions
from plinth.domain.application import PARTS
from plinth.domain.requirements import CRITICALITIES
from plinth.planning.questions.question import FUNCTIONS, Answers, Question, functions_of, given
from plinth.planning.questions.questions_shared import SIZE, TIME, YES_NO, check_known, names

DATA = "source"
DATA_READERS = "data.read_by"
_READERS = ("explore", "train", "tune", "batch")


def _check_function(name: str) -> str:
    return check_known(name, PARTS, "a function")


def _check_place(name: str) -> str:
    regions = load_regions()
    regions.expand(name)
    return regions.named(name) or name.lower()


def _check_region(name: str) -> str:
    return load_regions().find(name).name


def _check_platform(name: str) -> str:
    return check_known(name, platform_names(), "a platform that Plinth knows")


def _criticality(answers: Answers) -> str:
    return "dev" if functions_of(answers) == ("explore",) else "production"


def _rto(answers: Answers) -> str | None:
    return "1h" if answers.get("criticality") == "critical" else None


def _readers(answers: Answers) -> str | None:
    return ", ".join(each for each in functions_of(answers) if each in _READERS) or None


GENERAL = (
    Question(
        name="name",
        rule="G2",
        field="name",
        text="What is the application called?",
        why="plans, files and bills name it so",
        accepted="lower-case letters, digits and `-`, starting with a letter, at most 40",
    ),
    Question(
        name=FUNCTIONS,
        rule="G2",
        field="",
        text="What does it do?",
        why="each function gets the platform that fits it best; one platform for all seldom does",
        accepted="some of `explore` (people try things in notebooks), `train` (a model from "
        "nothing), `tune` (a model that exists), `batch` (many inputs, nobody waits), `online` "
        "(requests that somebody waits for), `flow` (steps around models, agents)",
        kind="list",
        default="train, online",
        verify=_check_function,
    ),
    Question(
        name="residency",
        rule="R2",
        field="requirements.residency",
        text="Where must its data stay, while it is kept and while it is processed?",
        why="laws and contracts limit regions, and no price makes up for a breach",
        accepted="a region like `westeurope`, or a group like `eu`, `germany` or `us` "
        "(`plinth catalog regions --groups`)",
        empty="anywhere",
        verify=_check_place,
    ),
    Question(
        name="criticality",
        rule="E0",
        field="requirements.criticality",
        text="How much depends on it?",
        why="development may be away for a day; what is critical has to survive the loss of a "
        "region, and pays for it",
        accepted=names(CRITICALITIES),
        default=_criticality,
    ),
    Question(
        name="rto",
        rule="H4",
        field="requirements.rto",
        text="How long may it be away after a zone or a region is lost?",
        why="it decides between one zone, several zones and a second region",
        accepted=TIME,
        default=_rto,
        empty="no limit",
        when=given("criticality", "production", "critical"),
    ),
    Question(
        name="private_network",
        rule="H5",
        field="requirements.private_network",
        text="Must it be reached by private addresses only?",
        why="some platforms have public addresses and nothing else",
        accepted=YES_NO,
        kind="yes",
        default="no",
    ),
    Question(
        name="commitment",
        rule="H8b",
        field="requirements.commitment",
        text="May a year be paid for in advance or reserved, whether it is used or not?",
        why="a reservation costs a third less, and is paid when nobody asks too",
        accepted=YES_NO,
        kind="yes",
        default="no",
    ),
    Question(
        name="day2_hours",
        rule="R3",
        field="requirements.day2_hours",
        text="How many hours a month may one part of it keep a person busy?",
        why="patching, upgrades and on-call are paid for in time, every month",
        accepted="hours from 0 to 744",
        kind="number",
        empty="no limit",
    ),
)
ABOUT_DATA = (
    Question(
        name="data.size",
        rule="R5",
        field=f"data.{DATA}.size",
        text="How much data does one reading of it move?",
        why="moving data costs money and time, so work goes to the data where it can",
        accepted=SIZE,
        empty="no data",
    ),
    Question(
        name="data.region",
        rule="R5",
        field=f"data.{DATA}.region",
        text="In which region does the data lie?",
        why="what stands in the same region pays nothing for moving it",
        accepted="a region like `westeurope` (`plinth catalog regions`)",
        empty="not known",
        when=given("data.size"),
        verify=_check_region,
    ),
    Question(
        name="data.platform",
        rule="H11a",
        field=f"data.{DATA}.platform",
        text="Which platform keeps the data?",
        why="where the data lies already, batches may best run too",
        accepted="a platform like `databricks-jobs` (`plinth catalog platforms`)",
        empty="none of them",
        when=given("data.size"),
        verify=_check_platform,
    ),
    Question(
        name="data.production",
        rule="E0",
        field=f"data.{DATA}.production",
        text="Is it real data of production?",
        why="the controls on real data hold everywhere, in development too",
        accepted=YES_NO,
        kind="yes",
        default="yes",
        when=given("data.size"),
    ),
    Question(
        name=DATA_READERS,
        rule="R5",
        field="",
        text="Which functions read it?",
        why="only they are drawn to where it lies",
        accepted="some of the functions that you chose",
        kind="list",
        default=_readers,
        empty="none of them",
        when=given("data.size"),
        verify=_check_function,
    ),
    Question(
        name="same_region",
        rule="R5",
        field="requirements.same_region",
        text="Must everything stand in the region where the data lies?",
        why="a rule and no wish: another region is rejected, however cheap",
        accepted=YES_NO,
        kind="yes",
        default="no",
        when=given("data.region"),
    ),
)
