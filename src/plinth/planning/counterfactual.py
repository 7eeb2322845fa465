"""What would have to be otherwise: changes to a workload, and the fewest that admit a platform.

Pure, as all of planning: the command line shows what this returns. Every change that is named has
been tried: the workload with it was judged again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from plinth.domain.document import read_document, to_value
from plinth.domain.mistake import describe, nearest_name, nested_fields
from plinth.domain.plan import Candidate, Change, Outcome, Plan, Verdict
from plinth.domain.platform import Platform
from plinth.domain.workload import KINDS, WORKLOAD, Workload
from plinth.kit.errors import Invalid, NotFound
from plinth.planning.context import Context, Placement
from plinth.planning.planner import judge, plan

# Above this many changes not every subset of them is tried: each is dropped by itself.
_MOST_SUBSETS = 12
_MOST_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class WhyNot:
    """Why a platform was not chosen, by the offer of it that is nearest to it.

    `failing`: what rejects it. `changes`: the fewest to the file that admit it, none where it is
    admitted already, None where no change to the file does. `would_be_chosen`: whether it is the
    best then; else `requirements.platform` chooses it.
    """

    platform: str
    candidate: Candidate | None
    failing: tuple[Verdict, ...]
    changes: tuple[Change, ...] | None
    would_be_chosen: bool


def change_workload(workload: Workload, changes: Iterable[Change]) -> Workload:
    """Return the workload with each value in its field.

    Raises Invalid for a field that there is not, and for a value that is not accepted there.
    """
    fields = workload.model_dump(mode="json")
    for change in changes:
        *parents, last = change.field.split(".")
        target: Any = fields
        for parent in parents:
            target = target.get(parent) if isinstance(target, dict) else None
        if not isinstance(target, dict):
            raise _no_field(workload, change.field)
        target[last] = change.value
    try:
        return WORKLOAD.validate_python(fields)
    except ValidationError as err:
        raise _refused(workload, changes, err) from err


def read_change(workload: Workload, text: str) -> Change:
    """Read `FIELD=VALUE`, the value as in a file; a list may be written as `a,b`.

    Raises Invalid naming what is accepted.
    """
    name, equals, written = text.partition("=")
    if not equals:
        raise Invalid(f"`{text}` is no change", hint="write `FIELD=VALUE`, like `cpu=2`")
    field = find_field(workload, name.strip())
    document = read_document(f"value: {written}")
    value = to_value(document.root) if document.root and not document.problems else None
    if not isinstance(value, dict) or set(value) != {"value"}:
        raise Invalid(f"`{written}` cannot be read", hint="write a value as it stands in a file")
    now: Any = workload.model_dump(mode="json")
    for part in field.split("."):
        now = now.get(part) if isinstance(now, dict) else None
    read: Any = value["value"]
    if isinstance(now, list) and isinstance(read, str):
        read = [each.strip() for each in read.split(",") if each.strip()]
    return Change(field=field, value=read)


def find_field(workload: Workload, name: str) -> str:
    """Return the path to the field that `name` means: a path, or its last part where that is one.

    Raises Invalid naming the nearest field.
    """
    paths = field_paths(type(workload))
    if name in paths:
        return name
    ending = [path for path in paths if path.endswith(f".{name}")]
    if len(ending) == 1:
        return ending[0]
    if ending:
        raise Invalid(
            f"`{name}` may be {' or '.join(f'`{path}`' for path in ending)}",
            hint="write the whole path",
        )
    raise _no_field(workload, name)


def field_paths(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the path to every field that a file of this kind may have, but for its kind."""
    names = [name for name in model.model_fields if name != "kind"]
    return (*names, *nested_fields(model))


def why_not(
    workload: Workload, platforms: Sequence[Platform], context: Context, name: str
) -> WhyNot:
    """Say what rejects the platform `name`, and the fewest changes that admit it.

    Of its offers the one that fewest changes admit is shown. Raises NotFound for a platform that
    nobody knows.
    """
    known = {platform.name: platform for platform in platforms}
    if name not in known:
        near = nearest_name(name, tuple(known))
        raise NotFound(
            f"there is no platform `{name}`" + (f"; did you mean `{near}`?" if near else ""),
            hint=f"known are {', '.join(f'`{each}`' for each in sorted(known))}",
        )
    places = [Placement(known[name], offer, context) for offer in known[name].offers]
    found = [_admit(workload, place) for place in places]
    if not found:
        return WhyNot(name, None, (), None, would_be_chosen=False)
    candidate, changes = min(found, key=_distance)
    chosen = None
    if changes is not None:
        chosen = plan(change_workload(workload, changes), platforms, context).chosen
    return WhyNot(
        platform=name,
        candidate=candidate,
        failing=tuple(_failing(candidate)),
        changes=changes,
        would_be_chosen=chosen is not None and chosen.platform == name,
    )


def _admit(workload: Workload, place: Placement) -> tuple[Candidate, tuple[Change, ...] | None]:
    """Return what is said of the place now, and the fewest changes that no rule rejects, if any."""
    candidate = judge(workload, place)
    changes: dict[str, Change] = {}
    found = candidate
    for _ in range(_MOST_ROUNDS):
        failing = _failing(found)
        if not failing:
            return candidate, _fewest(workload, place, tuple(changes.values()))
        for verdict in failing:
            if verdict.change is None:
                return candidate, None
            changes[verdict.change.field] = verdict.change
        try:
            # A change may bring up another rule; then that one's is added.
            found = judge(change_workload(workload, changes.values()), place)
        except Invalid:
            return candidate, None
    return candidate, None


def _fewest(
    workload: Workload, place: Placement, changes: tuple[Change, ...]
) -> tuple[Change, ...]:
    """Return the smallest of these that no rule rejects: of equal ones, the first."""
    if len(changes) <= _MOST_SUBSETS:
        for size in range(len(changes)):
            for subset in itertools.combinations(changes, size):
                if _is_admitted(workload, place, subset):
                    return subset
        return changes
    kept = list(changes)
    for change in changes:
        fewer = [each for each in kept if each is not change]
        if _is_admitted(workload, place, fewer):
            kept = fewer
    return tuple(kept)


def _is_admitted(workload: Workload, place: Placement, changes: Iterable[Change]) -> bool:
    try:
        return judge(change_workload(workload, changes), place).is_feasible
    except Invalid:
        return False


def _failing(candidate: Candidate) -> list[Verdict]:
    return [each for each in candidate.verdicts if each.outcome is Outcome.NOT_OK]


def _distance(found: tuple[Candidate, tuple[Change, ...] | None]) -> tuple[bool, int, int]:
    candidate, changes = found
    return changes is None, len(changes or ()), len(_failing(candidate))


def _no_field(workload: Workload, name: str) -> Invalid:
    paths = field_paths(type(workload))
    near = nearest_name(name, paths) or nearest_name(name, [p.rpartition(".")[2] for p in paths])
    return Invalid(
        f"`{name}`: kind `{workload.kind}` has no such field"
        + (f"; did you mean `{near}`?" if near else ""),
        hint="docs/reference/workload.md describes every field",
    )


def _refused(workload: Workload, changes: Iterable[Change], err: ValidationError) -> Invalid:
    error = err.errors()[0]
    # The first part of the place is the kind, which the union puts there.
    error["loc"] = error["loc"][1:] if error["loc"][:1] == (workload.kind,) else error["loc"]
    place = ".".join(str(part) for part in error["loc"])
    words = describe(error, KINDS[workload.kind], None)
    accepted = f"; accepted: {', '.join(words.accepted)}" if words.accepted else ""
    tried = ", ".join(f"`{change}`" for change in changes)
    return Invalid(
        f"{place}: {words.message}{accepted}",
        hint=f"it came of {tried}; docs/reference/workload.md describes every field",
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """What is otherwise in one candidate of two plans; None: it is not in that plan.

    `before` and `after`: chosen, possible or rejected. `rules`: those whose verdict is another,
    with what they say in the second plan.
    """

    platform: str
    size: str
    region: str
    before: str | None
    after: str | None
    rules: tuple[Verdict, ...]


def differences(before: Plan, after: Plan) -> tuple[Difference, ...]:
    """Return each candidate that is answered otherwise in the second plan, or by other reasons."""
    old, new = _answers(before), _answers(after)
    found = []
    for key in [*new, *(key for key in old if key not in new)]:
        then, now = old.get(key), new.get(key)
        said = {verdict.rule: verdict.outcome for verdict in then[1].verdicts} if then else {}
        rules = tuple(
            verdict
            for verdict in (now[1].verdicts if now else ())
            if said.get(verdict.rule) is not verdict.outcome
        )
        answers = (then[0] if then else None, now[0] if now else None)
        if rules or answers[0] != answers[1]:
            platform, size, region = key
            found.append(Difference(platform, size, region, *answers, rules))
    return tuple(found)


def _answers(plan: Plan) -> dict[tuple[str, str, str], tuple[str, Candidate]]:
    found = {}
    for candidate in (*((plan.chosen,) if plan.chosen else ()), *plan.rejected):
        answer = "possible" if candidate.is_feasible else "rejected"
        key = (candidate.platform, candidate.offer.sku, candidate.offer.region)
        found[key] = ("chosen" if candidate is plan.chosen else answer, candidate)
    return found
