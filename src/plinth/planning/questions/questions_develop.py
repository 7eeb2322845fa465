"""Questions about exploring, training and tuning."""

from __future__ import annotations

from typing import get_args

from plinth.domain.application import Method
from plinth.domain.requirements import Checkpoint
from plinth.planning.questions.question import Question, given, has
from plinth.planning.questions.questions_shared import (
    TIME,
    YES_NO,
    budget,
    check_accelerator,
    machine,
    names,
    resources,
)

EXPLORE = (
    Question(
        name="explore.users",
        rule="E1",
        field="explore.demand.users",
        text="Explore: how many people work in it?",
        why="each has a workspace of their own",
        accepted="a whole number from 1",
        kind="number",
        default="3",
        when=has("explore"),
    ),
    Question(
        name="explore.hours",
        rule="E4",
        field="explore.demand.hours",
        text="How many hours a month does each of them use it?",
        why="a workspace that is stopped at night costs a quarter of one that is not",
        accepted="hours from 0 to 744",
        kind="number",
        default="80",
        when=has("explore"),
    ),
    *machine("explore", has("explore")),
    Question(
        name="explore.gpu_reason",
        rule="E2",
        field="explore.gpu_reason",
        text="What does somebody need a GPU for?",
        why="without a reason none is given: most exploration needs no GPU",
        accepted="a sentence",
        empty="no gpu",
        when=has("explore"),
    ),
    Question(
        name="explore.gpu",
        rule="E2",
        field="explore.resources.accelerator",
        text="Which GPU?",
        why="the smallest that holds the model does for trying things",
        accepted="a kind and a count, like `T4` or `A100:2`",
        default="T4",
        when=given("explore.gpu_reason"),
        verify=check_accelerator,
    ),
    Question(
        name="explore.gpu_hours",
        rule="E7",
        field="explore.gpu_hours",
        text="How many hours a month may each person hold it?",
        why="an idle GPU is the dearest part of many bills",
        accepted="hours from 0 to 744",
        kind="number",
        default="20",
        when=given("explore.gpu_reason"),
    ),
    Question(
        name="explore.team_share",
        rule="E6a",
        field="explore.team_share",
        text="Must the team's files be there in every workspace?",
        why="not every platform mounts a share",
        accepted=YES_NO,
        kind="yes",
        default="yes",
        when=has("explore"),
    ),
    budget("explore"),
)


def _interruptible(part: str) -> tuple[Question, ...]:
    return (
        Question(
            name=f"{part}.checkpoint",
            rule="T5b",
            field=f"{part}.requirements.checkpoint",
            text="Does a run go on where it was when it was interrupted?",
            why="spot capacity costs a fraction, and may be taken back in the middle of a run",
            accepted=names(get_args(Checkpoint)) + " (`verified`: you have interrupted it)",
            default="none",
            when=has(part),
        ),
        Question(
            name=f"{part}.interruptible",
            rule="T5b",
            field=f"{part}.requirements.interruptible",
            text="May it be stopped at any time and started again?",
            why="only then is spot capacity used, and only with a checkpoint that is verified",
            accepted=YES_NO,
            kind="yes",
            default="yes",
            when=given(f"{part}.checkpoint", "declared", "verified"),
        ),
    )


def _runs(part: str, label: str) -> tuple[Question, ...]:
    return (
        Question(
            name=f"{part}.runs",
            rule="T5a",
            field=f"{part}.demand.runs",
            text=f"{label}: how many runs are there in a month?",
            why="short and rare runs are cheapest where nothing is paid for in between",
            accepted="a number above 0",
            kind="number",
            default="4",
            when=has(part),
        ),
        Question(
            name=f"{part}.duration",
            rule="T5c",
            field=f"{part}.demand.duration",
            text="How long does one run take?",
            why="from some hours a month on, a machine of one's own is cheaper",
            accepted=TIME,
            empty="not known",
            when=has(part),
        ),
    )


TRAIN = (
    *_runs("train", "Train"),
    *resources("train"),
    Question(
        name="train.nodes",
        rule="T5d",
        field="train.nodes",
        text="How many machines does one run span?",
        why="not every platform joins machines to one run",
        accepted="a whole number from 1 to 1000",
        kind="number",
        default="1",
        when=has("train"),
    ),
    *_interruptible("train"),
    Question(
        name="train.freshness",
        rule="T0b",
        field="train.requirements.freshness",
        text="How old may a model become before it is trained again?",
        why="a tight schedule needs capacity that is there when it is due",
        accepted=TIME,
        empty="no limit",
        when=has("train"),
    ),
    budget("train"),
)
TUNE = (
    Question(
        name="tune.base_model",
        rule="T6",
        field="tune.base_model",
        text="Tune: which model is tuned?",
        why="who hosts a model decides how it can be tuned",
        accepted="a model like `gpt-4o-mini` or `llama-3.1-8b`",
        empty="one of our own",
        when=has("tune"),
    ),
    Question(
        name="tune.method",
        rule="T6",
        field="tune.method",
        text="How is it tuned?",
        why="a hosted model allows some methods only",
        accepted=names(get_args(Method)),
        default="lora",
        when=has("tune"),
    ),
    *_runs("tune", "Tune"),
    Question(
        name="tune.tokens",
        rule="T4",
        field="tune.demand.tokens",
        text="How many tokens does one run read?",
        why="tuning a hosted model is paid for by the token",
        accepted="a whole number, or leave it out where your own machines tune",
        kind="number",
        empty="not known",
        when=given("tune.base_model"),
    ),
    *resources("tune"),
    *_interruptible("tune"),
    budget("tune"),
)
