"""What uv says, in our errors; and what it may see of our variables."""

from __future__ import annotations

import pytest

from plinth.environments.resolver import child_variables, explain, redact
from plinth.kit.errors import Invalid, Permanent, PlinthError, Temporary

_CONFLICT = "error: No solution found when resolving dependencies\n  cause: Because x was not found"
_NO_WHEEL = "error: No solution found\n cause: Because docopt==0.6.2 has no usable wheels"
_NETWORK = (
    "error: Request failed after 3 retries\n  cause: error sending request for url (http://x)"
)


@pytest.mark.parametrize(
    ("said", "kind", "part"),
    [
        (_CONFLICT, Invalid, "cannot be installed together"),
        (_NO_WHEEL, Invalid, "no wheel"),
        (_NETWORK, Temporary, "cannot fetch"),
        ("cause: HTTP status client error (401 Unauthorized)", Invalid, "refuses us"),
        ("error: No interpreter found for Python 3.99", Invalid, "no such Python"),
        ("No space left on device (os error 28)", Temporary, "the disk is full"),
        ("something new", Permanent, "uv failed with 2"),
    ],
)
def test_each_failure_has_its_kind_its_words_and_a_hint(
    said: str, kind: type[PlinthError], part: str
) -> None:
    error = explain(said, 2)
    assert type(error) is kind
    assert part in error.message
    assert said in error.message
    assert error.hint


def test_a_killed_uv_is_temporary() -> None:
    assert isinstance(explain("", -9), Temporary)


def test_secrets_do_not_reach_uv() -> None:
    ours = {
        "PATH": "/bin",
        "HOME": "/h",
        "MLFLOW_TRACKING_TOKEN": "plk_x",
        "AWS_SECRET_ACCESS_KEY": "s",
        "UV_PUBLISH_TOKEN": "t",
        "UV_PYTHON": "3.9",
        "VIRTUAL_ENV": "/other",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": "/p",
        "UV_DEFAULT_INDEX": "http://127.0.0.1/packages",
    }
    seen = child_variables(ours)
    assert set(seen) == {"PATH", "HOME", "UV_DEFAULT_INDEX", "NO_COLOR", "UV_NO_PROGRESS"}


def test_pips_index_is_used_where_uv_has_none() -> None:
    pip = {"PIP_INDEX_URL": "http://127.0.0.1/a"}
    assert child_variables(pip)["UV_DEFAULT_INDEX"] == "http://127.0.0.1/a"
    both = {**pip, "UV_DEFAULT_INDEX": "http://127.0.0.1/b"}
    assert child_variables(both)["UV_DEFAULT_INDEX"] == "http://127.0.0.1/b"


def test_passwords_in_addresses_are_hidden() -> None:
    assert redact("fetch https://me:pw@127.0.0.1/x") == "fetch https://***@127.0.0.1/x"
