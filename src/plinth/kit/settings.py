"""What an operator may set: one file of a home, `settings.toml`, with a default for everything.

Read by the node's programs as they start. `docs/reference/settings.md` is generated from here.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plinth.kit.errors import Invalid

FILE_NAME = "settings.toml"


def _setting(default: Any, text: str, least: float = 0, most: float | None = None) -> Any:
    return field(default=default, metadata={"text": text, "least": least, "most": most})


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one home. A field's metadata says what it is for and which values it takes.

    `text`: one sentence for the reference; `least`, `most`: the accepted range of a number.
    """

    database: str = _setting(
        "",
        "Where intent and state are kept: empty for SQLite in the home, or the URL of a PostgreSQL "
        "database, `postgresql://USER:PASSWORD@HOST:PORT/NAME`.",
    )
    trace_days: float = _setting(
        30.0,
        "For how many days a response can be traced, and what was deleted is kept for that.",
        least=0.01,
        most=3650,
    )
    access_log_bytes: int = _setting(
        64 * 1024 * 1024,
        "How large the gateway's access log grows before a new one is begun.",
        least=4096,
    )
    access_logs_bytes: int = _setting(
        4 * 1024 * 1024 * 1024,
        "How much room access logs that were read may take; the oldest go first.",
        least=0,
    )
    lease_s: float = _setting(
        60.0,
        "For how many seconds a control plane may work on a row before another one may take it.",
        least=1,
        most=600,
    )
    control_planes: int = _setting(
        1,
        "How many control planes run on this node; more than one needs PostgreSQL, and goes on "
        "when one of them is killed or stands still.",
        least=1,
        most=4,
    )
    sign_in_hours: float = _setting(
        8.0,
        "For how many hours a browser that signed in stays so.",
        least=0.01,
        most=24,
    )


def load_settings(home: Path) -> Settings:
    """Read `settings.toml` of the folder `home`; the defaults when there is none.

    Raises Invalid with every mistake in it.
    """
    path = home / FILE_NAME
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Settings()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise Invalid(
            f"`{path}` is no TOML: {err}", hint="write lines like `trace_days = 30`"
        ) from err
    except OSError as err:
        raise Invalid(f"`{path}` cannot be read: {err.strerror}") from err
    mistakes = list(_mistakes(values))
    if mistakes:
        raise Invalid(
            f"`{path}`: {'; '.join(mistakes)}",
            hint="docs/reference/settings.md lists every setting",
        )
    return Settings(**{name: _typed(name, value) for name, value in values.items()})


def _mistakes(values: Mapping[str, Any]) -> list[str]:
    known = {each.name: each for each in dataclasses.fields(Settings)}
    found = []
    for name, value in values.items():
        if name not in known:
            found.append(f"`{name}` is no setting; there are {', '.join(sorted(known))}")
        else:
            found += _mistake(known[name], value)
    return found


def _mistake(known: dataclasses.Field[Any], value: Any) -> list[str]:
    if isinstance(known.default, str):
        return (
            [] if isinstance(value, str) else [f"`{known.name}` is `{value}`; a text is accepted"]
        )
    wanted = "a whole number" if isinstance(known.default, int) else "a number"
    accepted = int if isinstance(known.default, int) else (int, float)
    if isinstance(value, bool) or not isinstance(value, accepted):
        return [f"`{known.name}` is `{value}`; {wanted} is accepted"]
    least, most = known.metadata["least"], known.metadata["most"]
    if value >= least and (most is None or value <= most):
        return []
    upper = f" to {most}" if most is not None else " or more"
    return [f"`{known.name}` is {value}; {least}{upper} is accepted"]


def _typed(name: str, value: Any) -> Any:
    default = Settings.__dataclass_fields__[name].default
    return float(value) if isinstance(default, float) else value
