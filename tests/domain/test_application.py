from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from plinth.domain.application import PARTS, Application, OnlineDemand
from plinth.domain.load import LoadError, load_workload


def application(**fields: Any) -> Application:
    return Application.model_validate({"kind": "application", "name": "churn", **fields})


def mistake(**fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        application(**fields)
    return str(caught.value)


def test_the_parts_that_it_has_come_in_the_order_of_the_guidance() -> None:
    found = application(online={}, explore={}, tune={})
    assert tuple(found.parts) == ("explore", "tune", "online")
    assert set(PARTS) <= set(Application.model_fields)


def test_an_application_without_a_part_is_refused() -> None:
    assert "a part at least: explore, train, tune, batch, online, flow" in mistake()


def test_a_part_reads_only_data_that_is_declared() -> None:
    text = mistake(data={"orders": {"size": "1GB"}}, train={"data": ["order"]})
    assert "train.data: `order` is not in the application's `data`: `orders`" in text
    assert "none is declared" in mistake(train={"data": ["order"]})


def test_a_part_is_isolated_only_from_other_parts() -> None:
    alone = {"requirements": {"isolate_from": ["online"]}}
    assert "`online` is not another part; accepted: `train`" in mistake(online=alone, train={})
    assert "accepted: none" in mistake(online=alone)
    assert application(train=alone, online={}).parts["train"].requirements.isolate_from


def test_a_model_is_hosted_or_ones_own_but_not_both() -> None:
    for own in ({"format": "onnx"}, {"server": "triton"}):
        assert "give `model`, or the others" in mistake(online={"model": "gpt-4o", **own})


def test_the_peak_is_three_times_the_average_where_nobody_says() -> None:
    assert OnlineDemand(requests_per_second=2).peak == 6
    assert OnlineDemand(requests_per_second=2, peak_requests_per_second=2).peak == 2


def test_a_peak_below_the_average_is_refused() -> None:
    text = mistake(online={"demand": {"requests_per_second": 5, "peak_requests_per_second": 4}})
    assert "the peak of 4 requests a second is below the average of 5" in text


@pytest.mark.parametrize(
    "demand",
    [
        {"requests_per_second": -1},
        {"requests_per_second": float("nan")},
        {"requests_per_second": float("inf")},
        {"requests_per_second": 1e9},
        {"requests_per_second": True},
        {"active_hours": 745.0},
        {"input_tokens": -1},
        {"input_tokens": 10**8},
        {"replica_requests_per_second": 0},
        {"measured_latency": "0s"},
    ],
)
def test_numbers_that_no_service_has_are_refused(demand: dict[str, Any]) -> None:
    mistake(online={"demand": demand})


@pytest.mark.parametrize(
    ("part", "demand"),
    [
        ("train", {"runs": 0}),
        ("train", {"runs": 50_000}),
        ("train", {"tokens": 0}),
        ("train", {"measured": {"D4s_v5": "-1h"}}),
        ("batch", {"rows": 0}),
        ("batch", {"rows": 10**14}),
        ("batch", {"rows_per_second": 0}),
        ("explore", {"users": 0}),
        ("explore", {"hours": float("nan")}),
    ],
)
def test_demands_that_no_part_has_are_refused(part: str, demand: dict[str, Any]) -> None:
    mistake(**{part: {"demand": demand}})


def test_weights_are_editable_and_not_negative() -> None:
    assert application(online={}, weights={"hour": 120}).weights.hour == 120
    mistake(online={}, weights={"hour": -1})
    mistake(online={}, weights={"hour": float("inf")})


def test_sizes_and_durations_are_written_as_people_write_them() -> None:
    found = application(
        data={"orders": {"size": "2GiB"}},
        train={"demand": {"duration": "90m", "measured": {"D8s_v5": "5h"}}},
        batch={"window": "4h"},
    )
    assert found.data["orders"].size == 2 * 2**30
    assert found.train is not None
    assert found.train.demand.duration == 5400
    assert found.train.demand.measured == {"D8s_v5": 18_000}
    assert found.batch is not None
    assert found.batch.window == 14_400


def test_a_file_with_mistakes_names_each_with_its_line() -> None:
    text = b"kind: application\nname: churn\nonline:\n  replica: 2\n  model: 5\n"
    with pytest.raises(LoadError) as caught:
        load_workload(text, "app.yaml")
    found = str(caught.value)
    assert "app.yaml:4: online.replica" in found
    assert "did you mean `replicas`" in found
    assert "app.yaml:5: online.model" in found


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"weights": {"hour": 1e305}}, "less than or equal to 1000000000"),
        (
            {"online": {"demand": {"replica_requests_per_second": 1e-310}}},
            "greater than or equal to 0.000001",
        ),
        ({"batch": {"demand": {"rows_per_second": 1e-310}}}, "greater than or equal to 0.000001"),
        ({"train": {"demand": {"runs": 1e-310}}}, "greater than or equal to 0.000001"),
    ],
)
def test_numbers_that_no_arithmetic_survives_are_refused(fields: Any, words: str) -> None:
    with pytest.raises(ValidationError) as raised:
        application(**fields)
    assert words in str(raised.value).replace("1e-06", "0.000001")
