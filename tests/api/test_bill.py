"""The bill over HTTP: exact amounts as text, for whom may see them; prices, and who sets them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from plinth.domain.access import Role
from tests.api.service import OTHER, TEAM, Service, error_of

PRICE = {"sku": "local.cpu_hour", "amount": "3.6", "currency": "USD", "valid_from": "2026-01-01"}


def used(service: Service) -> None:
    plane = service.plane
    run = plane.submit()
    plane.until(lambda: plane.run(run).phase == "running")
    plane.step(100)
    plane.world.end(f"{run}.0.1")
    plane.until(lambda: plane.run(run).closed)
    plane.parts.metering.collect()


def bill(service: Service, key: str | None = None, **params: str) -> Any:
    answer = service.call(key or service.admin, "GET", "/bill", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_every_line_is_explained_by_exact_numbers(service: Service) -> None:
    used(service)
    service.as_admin("POST", "/prices", json=PRICE)
    made = bill(service)
    (line,) = made["lines"]
    assert (line["team"], line["workload"], line["currency"]) == (TEAM, "job/train", "USD")
    for part in line["parts"]:
        exact = Decimal(part["fine_quantity"]) * Decimal(part["price"])
        assert abs(exact / part["fine_units"] - Decimal(part["exact"])) < Decimal("1e-12")
    assert sum(Decimal(part["exact"]) for part in line["parts"]) == Decimal(line["exact"])
    skus = [price["sku"] for price in made["prices"]]
    assert skus == ["local.cpu_hour", "local.memory_gb_hour"]
    assert all(price["source"] for price in made["prices"])
    (total,) = made["totals"]
    assert (total["amount"], total["exact"]) == (line["amount"], line["exact"])
    assert Decimal(line["amount"]) == Decimal("0.10")
    assert made["is_until_now"]
    assert made["by"] == ["team", "workload"]


def test_a_caller_is_billed_only_what_may_be_seen(service: Service) -> None:
    used(service)
    assert [line["team"] for line in bill(service, service.caller(Role.VIEWER))["lines"]] == [TEAM]
    stranger = service.caller(Role.VIEWER, OTHER)
    assert bill(service, stranger)["lines"] == []
    hidden = service.call(stranger, "GET", "/bill", params={"team": TEAM})
    absent = service.call(stranger, "GET", "/bill", params={"team": "nobody"})
    assert (hidden.status_code, absent.status_code) == (404, 404)
    assert error_of(hidden)["message"].replace(TEAM, "nobody") == error_of(absent)["message"]
    absent = service.call(service.admin, "GET", "/bill", params={"team": "nobody"})
    assert absent.status_code == 404


def test_an_empty_bill_has_no_total(service: Service) -> None:
    made = bill(service, by="month", to="2026-02-01", **{"from": "2026-01-01"})
    assert (made["lines"], made["totals"], made["is_until_now"]) == ([], [], False)
    assert (made["from"], made["to"]) == (
        "2026-01-01T00:00:00.000000Z",
        "2026-02-01T00:00:00.000000Z",
    )


@pytest.mark.parametrize(
    "params", [{"by": "x"}, {"from": "x"}, {"to": "2026-13-01"}, {"from": "2027", "to": "2026"}]
)
def test_bad_questions_are_refused_in_words(service: Service, params: dict[str, str]) -> None:
    answer = service.call(service.admin, "GET", "/bill", params=params)
    assert answer.status_code == 400
    assert error_of(answer)["code"] == "invalid"


def test_prices_are_seen_by_every_member_and_set_by_operators_of_the_platform(
    service: Service,
) -> None:
    member, operator = service.caller(Role.OPERATOR), service.caller(Role.OPERATOR, None)
    assert service.call(member, "POST", "/prices", json=PRICE).status_code == 404
    viewer = service.caller(Role.VIEWER, None)
    assert service.call(viewer, "POST", "/prices", json=PRICE).status_code == 403
    made = service.call(operator, "POST", "/prices", json={**PRICE, "currency": "EUR"})
    assert made.status_code == 201
    assert made.json()["other_currencies"] == {"local.memory_gb_hour": "USD"}
    later = {**PRICE, "valid_from": "2027-01-01"}
    service.as_admin("POST", "/prices", json=later)
    found = [
        (price["amount"], price["state"], price["stated_by"] is not None)
        for price in service.call(member, "GET", "/prices").json()
        if price["sku"] == "local.cpu_hour"
    ]
    assert found == [
        ("0.033", "replaced", False),
        ("3.6", "in force", True),
        ("3.6", "to come", True),
    ]


def test_who_set_a_price_stands_in_the_audit_log(service: Service) -> None:
    service.as_admin("POST", "/prices", json=PRICE)
    with service.plane.database.read() as connection:
        rows = connection.exec_driver_sql("select action, subject, outcome from audit")
        assert ("set", "price/local.cpu_hour", "done") in [tuple(row) for row in rows]


@pytest.mark.parametrize(
    "changed", [{"sku": "x"}, {"amount": "1e9"}, {"currency": "$"}, {"valid_from": "soon"}]
)
def test_a_bad_price_is_refused_in_words(service: Service, changed: dict[str, str]) -> None:
    answer = service.call(service.admin, "POST", "/prices", json={**PRICE, **changed})
    assert answer.status_code == 400
    assert len(service.as_admin("GET", "/prices")) == 5
    assert (
        service.call(service.admin, "POST", "/prices", json={**PRICE, "amount": 0.1}).status_code
        == 422
    )
