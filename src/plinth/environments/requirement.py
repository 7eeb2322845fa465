"""Names of packages as people and models write them, in one normal form.

Only names and versions from the user's own package index are accepted: an option, an address or
a path in a model's requirements would let its author decide what we install from where.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from plinth.kit.errors import Invalid

_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*"
    r"(?:\[(?P<extras>[A-Za-z0-9._,\s-]*)\])?\s*"
    r"(?P<versions>\(?[^;@()/\\]*\)?)\s*"
    r"(?:;(?P<marker>.*))?"
)
_VERSION = re.compile(r"(===|==|~=|!=|<=|>=|<|>)[A-Za-z0-9.*+!_-]+")
_MARKER = re.compile(r"[A-Za-z0-9_.'\"<>=!~()\s+-]+")


def normalise(text: str) -> str:
    """Return one requirement in its normal form: `Scikit_Learn >=1, <2` is `scikit-learn<2,>=1`.

    Raises Invalid for anything but a name with extras, versions and a marker.
    """
    match = _REQUIREMENT.fullmatch(text.strip())
    if match is None or "\n" in text or "\r" in text:
        raise _refused(text)
    versions = sorted(part for part in re.sub(r"[\s()]", "", match["versions"]).split(",") if part)
    if not all(_VERSION.fullmatch(part) for part in versions):
        raise _refused(text)
    marker = " ".join((match["marker"] or "").split())
    if marker and not _MARKER.fullmatch(marker):
        raise _refused(text)
    extras = sorted({_plain(part) for part in (match["extras"] or "").split(",") if part.strip()})
    shown = f"[{','.join(extras)}]" if extras else ""
    return f"{_plain(match['name'])}{shown}{','.join(versions)}{f'; {marker}' if marker else ''}"


def name_of(package: str) -> str:
    """Return the name in a requirement that is in its normal form."""
    return re.split(r"[^a-z0-9-]", package, maxsplit=1)[0]


def plain_name(text: str) -> str:
    """Return the name of a package in its normal form. Raises Invalid for more than a name."""
    package = normalise(text)
    if package != name_of(package):
        raise Invalid(
            f"`{text.strip()[:100]}` is more than the name of a package; accepted: a name without "
            f"versions, like `{name_of(package)}`",
            hint="a package is left out in all its versions",
        )
    return package


def refuse_left_out(leave_out: Iterable[str], needed: Iterable[str], host: str) -> None:
    """Raise Invalid for a package that is left out and that the `host` itself needs to run."""
    names = sorted({name_of(normalise(each)) for each in needed})
    for each in sorted({plain_name(name) for name in leave_out}.intersection(names)):
        raise Invalid(
            f"`environment.leave_out` names `{each}`, which `{host}` itself needs; "
            f"it needs {', '.join(f'`{name}`' for name in names)}",
            hint="leave out only packages of which nothing is used",
        )


def packages_for_model(requirements_txt: str) -> tuple[str, ...]:
    """Return the packages of a model's requirements.txt, with mlflow-skinny in mlflow's place.

    mlflow-skinny is enough to load and to predict, and half the size. Comments and empty lines
    are dropped. Raises Invalid for options (such as `-r` and `-e`), addresses and paths.
    """
    joined = requirements_txt.replace("\\\r\n", " ").replace("\\\n", " ")
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines())
    packages = [_skinny(normalise(line)) for line in lines if line]
    return tuple(dict.fromkeys(packages))


def _skinny(package: str) -> str:
    return re.sub(r"^mlflow(?=$|[^A-Za-z0-9-])", "mlflow-skinny", package)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _refused(text: str) -> Invalid:
    shown = text.strip().splitlines()[0][:100] if text.strip() else ""
    return Invalid(
        f"`{shown}` is not a package with versions; accepted: a name from the package index with "
        f"extras, versions and a marker, like `scikit-learn>=1.5,<2`",
        hint="options (such as -r, -e and an index), addresses and paths are refused: publish "
        "the package on your index, and configure the index for uv on this machine",
    )
