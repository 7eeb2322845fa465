"""Questions about batches, requests and flows."""

from __future__ import annotations

from typing import get_args

from plinth.domain.application import FlowTool
from plinth.domain.platform import ModelFormat
from plinth.planning.questions.question import Question, given, has, left_out
from plinth.planning.questions.questions_shared import TIME, YES_NO, budget, names, resources


def _model(part: str, label: str) -> tuple[Question, ...]:
    return (
        Question(
            name=f"{part}.model",
            rule="H0b",
            field=f"{part}.model",
            text=f"{label}: which model that a provider hosts answers?",
            why="a hosted model needs no machine of yours, and gives up control of it",
            accepted="its name, like `gpt-4o`",
            empty="one of our own",
            when=has(part),
        ),
        Question(
            name=f"{part}.format",
            rule="H0a",
            field=f"{part}.format",
            text="In which format is your own model?",
            why="model servers and platforms take some formats only",
            accepted=names(get_args(ModelFormat)),
            default="mlflow-pyfunc",
            when=left_out(f"{part}.model", part),
        ),
    )


def _tokens(part: str, of: str) -> tuple[Question, ...]:
    return tuple(
        Question(
            name=f"{part}.{which}_tokens",
            rule="H10",
            field=f"{part}.demand.{which}_tokens",
            text=f"How many tokens does one {of} {verb}, on average?",
            why="hosted models are paid for, and limited, by the token",
            accepted="a whole number from 0",
            kind="number",
            default=default,
            when=given(f"{part}.model"),
        )
        for which, verb, default in (("input", "bring", "500"), ("output", "get back", "200"))
    )


BATCH = (
    *_model("batch", "Batch"),
    Question(
        name="batch.runs",
        rule="H13a",
        field="batch.demand.runs",
        text="How many batches are there in a month?",
        why="compute that is there only while a batch runs costs nothing in between",
        accepted="a number above 0",
        kind="number",
        default="30",
        when=has("batch"),
    ),
    Question(
        name="batch.rows",
        rule="H13a",
        field="batch.demand.rows",
        text="How many rows, or requests, has one batch?",
        why="its cost and its time follow from it",
        accepted="a whole number from 1, like `20,000,000`",
        kind="number",
        default="100000",
        when=has("batch"),
    ),
    Question(
        name="batch.rows_per_second",
        rule="R7",
        field="batch.demand.rows_per_second",
        text="How many rows a second did one instance do when you measured it?",
        why="a plan with a measured number says so; without one it cannot know the time",
        accepted="a number above 0",
        kind="number",
        empty="not measured",
        when=left_out("batch.model", "batch"),
    ),
    Question(
        name="batch.window",
        rule="H13b",
        field="batch.window",
        text="How long may one batch take, from its start to the last row?",
        why="hosted batch services answer within a day, and promise no less",
        accepted=TIME,
        empty="no limit",
        when=has("batch"),
    ),
    *_tokens("batch", "row"),
    Question(
        name="batch.spark",
        rule="H14",
        field="batch.spark",
        text="Is it a program for Spark?",
        why="only platforms with Spark can run it",
        accepted=YES_NO,
        kind="yes",
        default="no",
        when=left_out("batch.model", "batch"),
    ),
    *resources("batch", "batch.model"),
    budget("batch"),
)


def _requests(part: str, label: str) -> tuple[Question, ...]:
    return (
        Question(
            name=f"{part}.requests",
            rule="H1b",
            field=f"{part}.demand.requests_per_second",
            text=f"{label}: how many requests a second are there on average?",
            why="what is there must carry them, and no more should be paid for",
            accepted="a number from 0",
            kind="number",
            default="1",
            when=has(part),
        ),
        Question(
            name=f"{part}.peak",
            rule="R4",
            field=f"{part}.demand.peak_requests_per_second",
            text="And in the busiest minute?",
            why="quotas stop a peak, not an average",
            accepted="a number that is not below the average",
            kind="number",
            empty="three times that",
            when=has(part),
        ),
        Question(
            name=f"{part}.active_hours",
            rule="H1b",
            field=f"{part}.demand.active_hours",
            text="In how many hours of a month does anybody ask at all?",
            why="what scales to zero costs nothing in the others",
            accepted="hours from 0 to 744; 730 is always",
            kind="number",
            default="730",
            when=has(part),
        ),
    )


ONLINE = (
    *_model("online", "Online"),
    *_requests("online", "Online"),
    *_tokens("online", "request"),
    Question(
        name="online.latency",
        rule="H8a",
        field="online.requirements.latency",
        text="How long may 99 of 100 requests take?",
        why="a tight limit needs capacity that others' load cannot slow down",
        accepted="a time like `200ms` or `2s`",
        empty="no limit",
        when=has("online"),
    ),
    Question(
        name="online.guaranteed_throughput",
        rule="H8b",
        field="online.requirements.guaranteed_throughput",
        text="Must the throughput be promised by who provides it?",
        why="provisioned capacity is paid for by the hour, used or not",
        accepted=YES_NO,
        kind="yes",
        default="no",
        when=given("online.model"),
    ),
    Question(
        name="online.replica_requests",
        rule="R7",
        field="online.demand.replica_requests_per_second",
        text="How many requests a second did one instance answer when you measured it?",
        why="the number of instances follows from it; without it, nobody knows",
        accepted="a number above 0",
        kind="number",
        empty="not measured",
        when=left_out("online.model", "online"),
    ),
    Question(
        name="online.split",
        rule="H18a",
        field="online.split",
        text="Are requests divided between versions by percentages?",
        why="a new version that gets 5 % first harms few when it is wrong",
        accepted=YES_NO,
        kind="yes",
        default="no",
        when=left_out("online.model", "online"),
    ),
    *resources("online", "online.model"),
    budget("online"),
)
FLOW = (
    Question(
        name="flow.tool",
        rule="O4",
        field="flow.tool",
        text="Flow: what is it written for?",
        why="what is ready-made is preferred to hosting a framework yourself",
        accepted=names(get_args(FlowTool)),
        default="prompt-flow",
        when=has("flow"),
    ),
    *_requests("flow", "Flow"),
    budget("flow"),
)
