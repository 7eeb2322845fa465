"""What every declared type shares: frozen, and nothing unknown is accepted."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo

from plinth.kit.excerpt import excerpt

# A workload's or team's name stands in URLs, MLflow workspaces and signed tokens.
NAME_LENGTH = 40
TEAM_LENGTH = 24
# MLflow refuses workspaces of one letter.
_SHORTEST_TEAM = 2
_NAME = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")


class Declared(BaseModel):
    """A frozen value that refuses fields it does not know."""

    # Only a text of limited length is looked at by pydantic, which then refuses half a character:
    # JSON can name one, and no file or database can keep it.
    model_config = ConfigDict(frozen=True, extra="forbid", str_max_length=10_000_000)


# The context in which rows of the store are read: an earlier Plinth accepted some that this one
# would refuse, and they must stay readable.
STORED = {"is_stored": True}


def is_stored(info: ValidationInfo) -> bool:
    """Tell whether a value was accepted before, and comes from the store."""
    return info.context == STORED


def check_name(value: str, longest: int = NAME_LENGTH) -> str:
    """Return `value` if it is a name. Raises ValueError saying what names look like."""
    if not _NAME.fullmatch(value) or len(value) > longest:
        raise ValueError(
            f"`{excerpt(value)}` is not a name: lower-case letters, digits and `-`, "
            f"starting with a letter, at most {longest} characters"
        )
    return value


def _check_team(value: str) -> str:
    if len(value) < _SHORTEST_TEAM:
        raise ValueError(
            f"`{excerpt(value)}` is too short for a team; two characters or more are accepted"
        )
    return check_name(value, TEAM_LENGTH)


Name = Annotated[str, AfterValidator(check_name)]
TeamName = Annotated[str, AfterValidator(_check_team)]
