"""Which host is which page's, in Python as in Envoy."""

from __future__ import annotations

import re

import pytest

from plinth.domain.web_page import (
    CONSOLE,
    MLFLOW,
    authority_pattern,
    page_authority,
    page_of,
    page_origin,
    workspace_of_page,
    workspace_page,
)


@pytest.mark.parametrize("page", [MLFLOW, CONSOLE, workspace_page("ann"), workspace_page("a-b-2")])
@pytest.mark.parametrize("port", [80, 8470])
def test_a_page_is_found_by_its_host(page: str, port: int) -> None:
    authority = page_authority(page, port)
    assert page_of(authority, port) == page
    assert page_origin(page, port) == f"http://{authority}"
    assert (":" in authority) is (port != 80)


@pytest.mark.parametrize(
    "authority",
    [
        "mlflow.localhost",
        "mlflow.localhost:1",
        "mlflow.localhost.:8470",
        "x.mlflow.localhost:8470",
        "MLFLOW.localhost:8470",
        "mlflow.localhost:8470.evil.example",
        "mlflowxlocalhost:8470",
        "ann.localhost:8470",
        "-ws.localhost:8470",
        "a_b-ws.localhost:8470",
        "evil.ann-ws.localhost:8470",
        "ann-ws.localhost:8470\n",
        "127.0.0.1:8470",
        "",
    ],
)
def test_any_other_host_is_no_page(authority: str) -> None:
    assert page_of(authority, 8470) is None


def test_a_workspace_is_known_by_its_page() -> None:
    assert workspace_of_page(workspace_page("ann")) == "ann"
    assert workspace_of_page(MLFLOW) is None
    assert re.fullmatch(authority_pattern(80), "ann-ws.localhost")
