"""Every rule, in the order in which people read them: one small function for each question.

`planner.py` asks all of them for every candidate. `rule.py` says what a rule is; the other modules
hold them by the part of the guidance that they come from.
"""

from __future__ import annotations

from collections.abc import Mapping

from plinth.domain.platform import Function
from plinth.planning.rules.basic import BASIC
from plinth.planning.rules.batch import BATCH
from plinth.planning.rules.explore import EXPLORE
from plinth.planning.rules.flow import FLOW
from plinth.planning.rules.general import GENERAL
from plinth.planning.rules.model import MODEL
from plinth.planning.rules.online import ONLINE
from plinth.planning.rules.place import PLACE
from plinth.planning.rules.protect import PROTECT
from plinth.planning.rules.quota import QUOTA
from plinth.planning.rules.rule import EVERY, Rule
from plinth.planning.rules.train import TRAIN

RULES: tuple[Rule, ...] = (
    *BASIC,
    *GENERAL,
    *PLACE,
    *PROTECT,
    *QUOTA,
    *EXPLORE,
    *TRAIN,
    *BATCH,
    *MODEL,
    *ONLINE,
    *FLOW,
)
RULES_OF: Mapping[Function, tuple[Rule, ...]] = {
    function: tuple(rule for rule in RULES if function in rule.functions)
    for function in sorted(EVERY)
}

__all__ = ["RULES", "RULES_OF", "Rule"]
