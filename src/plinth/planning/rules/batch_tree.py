"""The guidance's decision tree for batch inference: the branch that a choice took, and why.

Where the data is, a hosted model, many inputs or a pipeline, Spark, and else a batch endpoint: the
first branch that applies decides. `advice.py` asks once the candidate of a part is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from plinth.domain.plan import Candidate, Outcome, PartPlan, Verdict
from plinth.domain.platform import Capability, Platform
from plinth.planning.rules.batch import LIES_HERE
from plinth.planning.rules.rule import listed, ok

TREE = "H15.tree"


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The chosen candidate: what its rules said, by id, and what is known of its platform."""

    candidate: Candidate
    said: Mapping[str, Verdict]
    capability: Capability

    @property
    def data_lies_here(self) -> bool:
        """Tell whether all data that lies on a platform lies on this one."""
        return "H11a" in self.said and self.said["H11a"].reason.startswith(LIES_HERE)

    @property
    def asks_spark(self) -> bool:
        """Tell whether a program for Spark is asked for."""
        return "H14" in self.said

    @property
    def asks_many(self) -> str:
        """What makes it many inputs, in words; empty where nothing does."""
        if "H13c" in self.said:
            return "a pipeline is the target"
        return self.said["H13a"].reason if "H13a" in self.said else ""

    def is_default(self, rule: str) -> bool:
        """Tell whether the guidance names the platform as its answer to a requirement."""
        return rule in (self.capability.guidance.default_for or ())


def batch_verdict(part: PartPlan, platforms: Mapping[str, Platform]) -> Verdict | None:
    """Tell which branch of the guidance's tree the choice took, and why those before did not apply.

    `platforms` by name. None for another function than batch, and where nothing is chosen.
    """
    candidate = part.chosen
    platform = platforms.get(candidate.platform) if candidate else None
    if part.function != "batch" or candidate is None or platform is None:
        return None
    said = {each.rule: each for each in candidate.verdicts}
    chosen = _Chosen(candidate, said, platform.capability)
    if chosen.data_lies_here:
        return ok(TREE, f"H11a, the first branch: {said['H11a'].reason}")
    passed = [f"H11a: {_why_not_at_the_data(chosen, part)}"]
    if candidate.offer.model is not None:
        return _taken("H12", f"`{candidate.offer.model}` is a hosted model", passed)
    passed.append("H12: no hosted model is asked for")
    many = chosen.asks_many
    if chosen.is_default("H13a") and many:
        return _taken("H13", many, passed)
    passed.append(f"H13: {_why_no_batch_endpoint(chosen, part, many)}")
    if chosen.asks_spark:
        return _taken("H14", "a program for Spark", passed)
    passed.append("H14: no Spark is asked for")
    if chosen.is_default("H15"):
        return _taken("H15", "a batch endpoint, the default where nothing else decides", passed)
    passed.append(f"H15: {_of_batch_endpoints(part)}")
    return ok(TREE, f"no branch: `{candidate.platform}` is the best that fits. {'; '.join(passed)}")


def _taken(branch: str, why: str, passed: list[str]) -> Verdict:
    return ok(TREE, f"{branch}: {why}. Before it, {'; '.join(passed)}")


def _why_not_at_the_data(chosen: _Chosen, part: PartPlan) -> str:
    said = chosen.said.get("H11a")
    if said is None:
        return "no data lies on a data platform"
    there = [each for each in part.rejected if _lies_there(each)]
    return f"{said.reason}; {_passed_over(there)}" if there else said.reason


def _why_no_batch_endpoint(chosen: _Chosen, part: PartPlan, many: str) -> str:
    if chosen.asks_spark:
        return "batch endpoints run no Spark"
    return _of_batch_endpoints(part) if many else "neither many inputs nor a pipeline is stated"


def _of_batch_endpoints(part: PartPlan) -> str:
    """Say what became of those that the guidance names as its default."""
    there = [each for each in part.rejected if any(one.rule == "H15" for one in each.verdicts)]
    return _passed_over(there) if there else "no batch endpoint is among the candidates"


def _lies_there(candidate: Candidate) -> bool:
    return any(
        each.rule == "H11a" and each.reason.startswith(LIES_HERE) for each in candidate.verdicts
    )


def _passed_over(candidates: list[Candidate]) -> str:
    """Say why none of these was chosen: possible and worse, or the rules that reject the nearest.

    The nearest is the one that the fewest rules reject.
    """
    nearest = min(candidates, key=lambda each: len(_rejecting(each)))
    rules = _rejecting(nearest)
    if rules:
        return f"`{nearest.platform}` is rejected by {listed(rules)}"
    return f"`{nearest.platform}` is possible too, its score is worse"


def _rejecting(candidate: Candidate) -> list[str]:
    return [each.rule for each in candidate.verdicts if each.outcome is Outcome.NOT_OK]
