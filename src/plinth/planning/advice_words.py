"""An Advice in words: rows of tables and sentences, for the terminal and for errors.

The command line prints what this returns. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal

from plinth.domain.money import coin_digits
from plinth.domain.plan import Advice, Candidate, CostLine, MonthCost, Outcome, PartPlan, Verdict
from plinth.kit.units import format_bytes
from plinth.planning.explain import NoPlatformFits

UNKNOWN = "unknown"
_MOST_REASONS = 2
_MOST_LINES = 5


def part_row(part: PartPlan) -> list[str]:
    """Return part, platform, region, size, tier, cost a month, its range, day-2 hours."""
    chosen = part.chosen
    if chosen is None:
        return [part.name, "no platform fits", "", "", "", "", "", ""]
    return [
        part.name,
        chosen.platform,
        region_words(chosen),
        size_words(chosen),
        chosen.offer.tier or "",
        cost_words(chosen.cost),
        range_words(chosen.cost),
        hours_words(chosen.day2_hours),
    ]


def size_words(candidate: Candidate) -> str:
    """Say how many of what: `2 x D4s_v5`, `gpt-4o (data-zone)`."""
    offer = candidate.offer
    if offer.model is not None:
        units = f"{candidate.count} units of " if offer.tier == "provisioned" else ""
        return f"{units}{offer.model} ({offer.processed_in or 'anywhere'})"
    if offer.sku == "machine":
        return f"{offer.cpu:g} cores, {format_bytes(offer.memory)}"
    return offer.sku if candidate.count == 1 else f"{candidate.count} x {offer.sku}"


def region_words(candidate: Candidate) -> str:
    """Say where, with the region that stands by."""
    offer = candidate.offer
    return f"{offer.region} + {offer.standby}" if offer.standby else offer.region


def money_words(amount: Decimal | None, currency: str) -> str:
    """Write an amount rounded to the coin, `unknown` for None."""
    if amount is None:
        return UNKNOWN
    coin = Decimal(1).scaleb(-coin_digits(currency))
    return f"{amount.quantize(coin, ROUND_HALF_EVEN):,f} {currency}"


def cost_words(cost: MonthCost | None) -> str:
    """Write a month's cost; `~` before it where a price is estimated."""
    if cost is None:
        return UNKNOWN
    mark = "~" if cost.is_estimated and cost.amount is not None else ""
    return mark + money_words(cost.amount, cost.currency)


def range_words(cost: MonthCost | None) -> str:
    """Write the range of a month's cost, nothing where it is certain."""
    if cost is None or cost.low == cost.high:
        return ""
    low = money_words(cost.low, cost.currency).removesuffix(f" {cost.currency}")
    if cost.high is None:
        return f"from {low} {cost.currency}" if cost.low else ""
    return f"{low} to {money_words(cost.high, cost.currency)}"


def arithmetic(line: CostLine) -> str:
    """Return how an amount comes about; what was assumed for it stands in `assumptions`."""
    return line.how.partition("; ")[0]


def assumptions(advice: Advice) -> list[str]:
    """Return what was assumed for the costs of what was chosen, each once."""
    found: dict[str, None] = {}
    for part in advice.parts:
        lines = part.chosen.cost.lines if part.chosen and part.chosen.cost else ()
        for line in lines:
            found |= dict.fromkeys(line.how.split("; ")[1:])
    return list(found)


def hours_words(hours: float | None) -> str:
    """Write a month's hours of work."""
    return UNKNOWN if hours is None else f"{hours:g} h"


def rejected_rows(part: PartPlan) -> list[list[str]]:
    """Return platform, tiers, answer, cost a month, and the first reasons against it.

    Ways to buy one platform that are answered alike share a row. Platforms that do not do the
    function at all are left to `others`.
    """
    rows: dict[tuple[str, str, str], list[Candidate]] = {}
    for candidate in part.rejected:
        if does_function(candidate):
            answer, reasons = answer_words(candidate, part.chosen)
            rows.setdefault((candidate.platform, answer, reasons), []).append(candidate)
    return [
        [
            platform,
            ", ".join(each.offer.tier for each in alike if each.offer.tier),
            answer,
            cost_words(alike[0].cost) if alike[0].cost else "",
            reasons,
        ]
        for (platform, answer, reasons), alike in rows.items()
    ]


def others(part: PartPlan) -> list[str]:
    """Return the names of the platforms that do not do the part's function."""
    return sorted({each.platform for each in part.rejected if not does_function(each)})


def does_function(candidate: Candidate) -> bool:
    """Tell whether the platform does the function at all (G2)."""
    return not any(
        verdict.rule == "G2" and verdict.outcome is Outcome.NOT_OK for verdict in candidate.verdicts
    )


def answer_words(candidate: Candidate, chosen: Candidate | None) -> tuple[str, str]:
    """Return `possible` or `rejected`, and why it was not chosen."""
    failing = of_outcome(candidate, Outcome.NOT_OK)
    if not failing:
        return "possible", _why_passed_over(candidate, chosen)
    shown = [f"{each.rule}: {each.reason}" for each in failing[:_MOST_REASONS]]
    if len(failing) > _MOST_REASONS:
        rest = ", ".join(each.rule for each in failing[_MOST_REASONS:])
        shown.append(f"and {rest}")
    return "rejected", "; ".join(shown)


def _why_passed_over(candidate: Candidate, chosen: Candidate | None) -> str:
    if candidate.weight is None or candidate.cost is None:
        return "what a month costs is not known, so others come first"
    if chosen is None or chosen.weight is None:
        return "feasible"
    more = candidate.weight - chosen.weight
    if more <= 0:
        return "weighs no less, together with the other parts"
    return f"weighs {money_words(more, candidate.cost.currency)} a month more, with its work"


def of_outcome(candidate: Candidate, outcome: Outcome) -> list[Verdict]:
    """Return the verdicts of one outcome, in their order."""
    return [each for each in candidate.verdicts if each.outcome is outcome]


def summary(advice: Advice) -> str:
    """Return one sentence: what a month of all costs, and where it stands."""
    lost = [part.name for part in advice.parts if part.chosen is None]
    if lost:
        names = ", ".join(f"`{name}`" for name in lost)
        return f"no platform fits {names}" + (
            "" if len(advice.parts) == 1 else f" of `{advice.name}`"
        )
    if advice.over_budget is not None:
        return f"no choice of places keeps `{advice.name}` within its budget"
    if advice.forbidden:
        return f"`{advice.name}` may not send its requests elsewhere"
    if not advice.parts:
        return f"`{advice.name}` needs no platform: all its models are served elsewhere"
    total = cost_words(advice.cost)
    spread = range_words(advice.cost)
    hours = hours_words(advice.day2_hours)
    where = f", home in {advice.home}" if len(advice.parts) > 1 else ""
    chosen = advice.parts[0].chosen
    place = f" on `{chosen.platform}`" if len(advice.parts) == 1 and chosen else ""
    return (
        f"`{advice.name}` fits{place}: {total} a month"
        + (f" ({spread})" if spread else "")
        + f", {hours} of work{where}"
    )


def require_feasible(advice: Advice, relaxations: Sequence[str]) -> None:
    """Raise NoPlatformFits where a part has no place; `relaxations` name what would give it one."""
    if advice.is_feasible:
        return
    over = advice.over_budget
    if over is not None:
        relaxations = [*relaxations, f"`{over.change}`"]
    lines = [summary(advice), *([f"  {over.rule}: {over.reason}"] if over else [])]
    lines += [f"  {each.rule}: {each.reason}" for each in advice.forbidden]
    relaxations = [*relaxations, *(f"`{each.change}`" for each in advice.forbidden if each.change)]
    for part in advice.parts:
        if part.chosen is None:
            lines += _nearest(part)
            if _no_region_left(part):
                rules = sorted({each.rule for said in part.regions.values() for each in said})
                lines.append(f"  {part.name}  {' and '.join(rules)} together leave no region")
    hint = (
        "the nearest that would do: " + "; or ".join(relaxations)
        if relaxations
        else "no change to the file alone admits a platform"
    )
    raise NoPlatformFits("\n".join(lines), hint=hint)


def work_words(advice: Advice) -> str | None:
    """Say why the hours of all parts do not add up; None where they do."""
    hours = [part.chosen.day2_hours or 0 for part in advice.parts if part.chosen]
    if advice.day2_hours is None or sum(hours) == advice.day2_hours:
        return None
    return "platforms of one service are looked after together: of their hours the most counts once"


def _no_region_left(part: PartPlan) -> bool:
    return bool(part.rejected) and all(
        not each.is_feasible
        and any(one.rule.startswith("R2.") for one in of_outcome(each, Outcome.NOT_OK))
        for each in part.rejected
        if does_function(each) and each.offer.region in part.regions
    )


def _nearest(part: PartPlan) -> list[str]:
    """Return a line for each of the candidates that fewest rules reject."""
    lines = []
    rows = rejected_rows(part)
    for platform, _, _, _, reasons in rows[:_MOST_LINES]:
        lines.append(f"  {part.name}  {platform}  {reasons}")
    if len(rows) > _MOST_LINES:
        more = len(rows) - _MOST_LINES
        lines.append(f"  and {more} more; `plinth plan FILE --part {part.name}` lists all")
    return lines
