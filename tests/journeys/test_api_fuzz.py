"""Whatever is sent to the API, the answer is one of its own: never a 500, never another shape.

A journey for its length only: some thousand requests that schemathesis makes from our own OpenAPI
document, to the application over a whole control plane in memory.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.api.service import Service, error_of, make_service

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import schemathesis

LEAST_CASES = 2_000
# Of an operation without parameters there is only one.
CASES_EACH = 70


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with make_service() as made:
        made.add_data()
        made.plane.submit()
        made.plane.apply()
        yield made


def known_of(service: Service) -> dict[str, list[str]]:
    """Return names that exist, by the parameter that may hold them."""
    with service.plane.database.read() as connection:
        found = {
            table: [
                str(row[0]) for row in connection.exec_driver_sql(f'select {column} from "{table}"')
            ]
            for table, column in (
                ("run", "id"),
                ("endpoint", "name"),
                ("team", "name"),
                ("key", "id"),
                ("grant", "id"),
                ("principal", "id"),
            )
        }
    return {
        **{f"{table}_id": ids for table, ids in found.items()},
        "name": [*found["endpoint"], "flights"],
        "team": found["team"],
        "unit_id": ["control", *(f"{run}.0.1" for run in found["run"])],
    }


def test_no_request_makes_the_api_fail(service: Service) -> None:
    schema = schemathesis.openapi.from_dict(service.app.openapi())
    operations = [found.ok() for found in schema.get_all_operations()]
    known = known_of(service)
    statuses: Counter[int] = Counter()
    failures: dict[str, str] = {}
    for operation in operations:
        failures |= ask_much(service, operation, known, statuses, CASES_EACH)
    print(f"{sum(statuses.values())} requests: {dict(sorted(statuses.items()))}")
    assert not failures, "\n".join(failures.values())
    assert sum(statuses.values()) >= LEAST_CASES
    assert any(status < 300 for status in statuses)


def ask_much(
    service: Service,
    operation: Any,
    known: dict[str, list[str]],
    statuses: Counter[int],
    count: int,
) -> dict[str, str]:
    """Send `count` requests to one operation, some with names that exist; return what failed."""
    failures: dict[str, str] = {}

    @settings(
        max_examples=count,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    @given(case=operation.as_strategy(), data=st.data())
    def ask(case: Any, data: st.DataObject) -> None:
        parameters = dict(case.path_parameters or {})
        for name in parameters:
            if known.get(name) and data.draw(st.booleans()):
                parameters[name] = data.draw(st.sampled_from(known[name]))
        case.path_parameters = parameters
        sent = case.as_transport_kwargs(base_url="http://plinth")
        headers = {**(sent.get("headers") or {}), "authorization": f"Bearer {service.admin}"}
        answer = service.client.request(
            sent["method"],
            sent["url"],
            headers=headers,
            params=sent.get("params"),
            json=sent.get("json"),
            content=sent.get("data"),
        )
        statuses[answer.status_code] += 1
        try:
            assert answer.status_code != 500
            assert answer.status_code < 400 or error_of(answer)["message"]
        except (AssertionError, ValueError, KeyError):
            failures[operation.label] = f"{operation.label}: {sent}: {answer.text[:300]}"

    ask()
    return failures
