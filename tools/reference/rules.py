"""Render docs/reference/rules.md from the planner's rules, in the order in which they are asked."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from plinth.planning.rules import RULES, Rule
from plinth.planning.rules.batch_tree import TREE, batch_verdict
from plinth.planning.rules.joint import joint_verdicts
from plinth.planning.rules.ladder import ladder_verdict
from plinth.planning.rules.rule import EVERY, Scope

_SCOPES = {
    Scope.WAY: "the platform and how it is bought",
    Scope.REGION: "the region",
    Scope.OFFER: "the single offer: size or model, region, cost",
}
# What is asked once all is chosen has no list in the code: id, question, function.
CHOICES = (
    ("H16", "Which steps of the ladder for online inference were passed over, and why.", "online"),
    (TREE, "Which branch of the tree for batch inference the choice took, and why.", "batch"),
)
JOINT = (
    ("T0c", "Whether training and tuning share a platform, and what forced them apart."),
    ("T3", "How parts on different platforms hand their data over."),
    ("T6", "Whether the model that is tuned can be the one that is served."),
    ("R5", "Which parts and data stand in different regions, how far apart, at what cost."),
    ("H0c", "Whether parts that must not share compute have compute of their own."),
    ("R4", "Whether the parts together fit into the machines that are owned."),
    ("E4", "Whether all parts together keep to the application's budget."),
)
INTRODUCTION = f"""\
<!-- Written by `python -m tools.docs_reference` from src/plinth/planning/rules; do not edit. -->

# The planner's rules

Every question that a plan asks of every place where a workload could stand; see the answers:

```console
$ plinth plan examples/flights/train.yaml
```

An answer is *ok*, *not ok*, which rejects the place, or *unknown*, which names the fact that is
missing and rejects nothing. Where a question does not arise, nothing is said. [What the rules
mean](../explanation/rules.md) says more.

An id such as `T5b` is a line of the guidance "Application platform for AI workloads"
(Well-Architected), with a word after a dot where a line has several questions; ids in small letters
are Plinth's own. *Depends on* says what of a place the answer may change with; all of them also
read the file, and what the organisation has stated. Each table names its file in
`src/plinth/planning/rules/`.

There are {len(RULES)} rules.
"""


def rules_page() -> str:
    """Return the page as it must be."""
    sections = [_section(module, rules) for module, rules in by_module(RULES).items()]
    return "\n".join([INTRODUCTION, *sections, _chosen(), _joint()])


def by_module(rules: Iterable[Rule]) -> Mapping[str, list[Rule]]:
    """Return the rules by the module that their functions stand in, in their order."""
    found: dict[str, list[Rule]] = {}
    for rule in rules:
        found.setdefault(rule.ask.__module__, []).append(rule)
    return found


def _section(module: str, rules: Iterable[Rule]) -> str:
    title = (sys.modules[module].__doc__ or module).split("\n\n")[0].strip()
    rows = [
        [
            f"`{rule.id}`",
            _question(rule.question),
            rule.pillar.value,
            _functions(rule),
            _SCOPES[rule.scope],
            f"`{rule.ask.__name__}`",
        ]
        for rule in rules
    ]
    titles = ["rule", "what it asks", "pillar", "functions", "depends on", "in the code"]
    return f"## {_one_line(title)}\n\n`{_file(module)}`\n\n{_table(titles, rows)}"


def _chosen() -> str:
    where = {"online": ladder_verdict, "batch": batch_verdict}
    rows = [
        [f"`{rule}`", question, function, f"`{_file(where[function].__module__)}`"]
        for rule, question, function in CHOICES
    ]
    return (
        "## Asked of what was chosen\n\nThese explain a choice once it is made; they reject "
        f"nothing.\n\n{_table(['rule', 'what it asks', 'functions', 'file'], rows)}"
    )


def _joint() -> str:
    rows = [[f"`{rule}`", question] for rule, question in JOINT]
    return (
        "## Asked of an application as a whole\n\nThey stand under the plan's table and reject "
        "nothing: *not ok* says that another choice, or a change of the\nfile, would serve better. "
        f"They stand in `{_file(joint_verdicts.__module__)}`.\n\n"
        f"{_table(['rule', 'what it asks'], rows)}"
    )


def _question(text: str) -> str:
    """Write a docstring's order, `Tell whether ...`, as what is asked."""
    text = text.removeprefix("Tell ")
    return text[:1].upper() + text[1:]


def _functions(rule: Rule) -> str:
    if rule.functions == EVERY:
        return "every"
    order = ("explore", "train", "batch", "online", "flow")
    return ", ".join(each for each in order if each in rule.functions)


def _file(module: str) -> str:
    return Path(*module.split(".")).with_suffix(".py").name


def _one_line(text: str) -> str:
    return " ".join(text.split()).removesuffix(".")


def _table(titles: list[str], rows: Iterable[list[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
