from __future__ import annotations

from decimal import Decimal

import pytest

from plinth.domain.load import load_workload
from plinth.domain.need import needs_of
from plinth.planning.offers.month_machines import machine_count
from tests.catalog.imported import catalog_with
from tests.planning.bought import SMALL, cents, cost, line, offered, online, owning
from tests.planning.rules.placed import need

EIGHT = {"cpu": 8, "memory": "32GiB"}


def test_an_endpoint_that_always_runs_costs_730_hours_of_each_machine() -> None:
    # F2s_v2 has too little memory, D2s_v5 is 0.096 USD: 2 x 730 x 0.096.
    found = cost(online(resources=SMALL, replicas=2), "azureml-online-endpoint")
    assert cents(found.amount) == "140.16"
    assert found.currency == "USD"
    assert "2 x 730 h (it runs all month) x 0.096 USD" in found.lines[0].how
    assert "adds no charge" in found.lines[0].how


def test_a_job_costs_its_runs_and_their_length() -> None:
    # 4 runs x 5 h x 0.384 USD (D8s_v5).
    wanted = need(part="train", train={"resources": EIGHT, "demand": {"duration": "5h"}})
    assert cents(cost(wanted, "azureml-compute-cluster").amount) == "7.68"


def test_a_size_that_was_measured_costs_what_was_measured() -> None:
    demand = {"duration": "5h", "measured": {"Standard_D8s_v5": "3h"}}
    wanted = need(part="train", train={"resources": EIGHT, "demand": demand})
    found = cost(wanted, "azureml-compute-cluster")
    assert cents(found.amount) == "4.61"  # 4 x 3 h x 0.384 = 4.608
    assert "3 h, measured on this size" in found.lines[0].how


def test_a_machine_that_is_not_ephemeral_is_paid_all_month_by_a_job_too() -> None:
    wanted = need(part="train", train={"resources": EIGHT, "demand": {"duration": "5h"}})
    found = cost(wanted, "data-science-vm")
    assert cents(found.amount) == "280.32"  # 730 x 0.384


def test_rows_and_their_measured_rate_give_the_hours_of_a_batch() -> None:
    # 30 runs x 20,000,000 rows / (2,000 a second x 2 nodes) = 41.67 h; x 2 nodes x 0.096.
    demand = {"rows": 20_000_000, "rows_per_second": 2000}
    wanted = need(
        part="batch", batch={"resources": SMALL, "nodes": 2, "format": "onnx", "demand": demand}
    )
    assert cents(cost(wanted, "azureml-batch-endpoint").amount) == "8.00"


def test_without_a_duration_the_amount_is_unknown_and_says_what_to_state() -> None:
    wanted = need(part="train", train={"resources": EIGHT})
    found = cost(wanted, "azureml-compute-cluster")
    assert found.amount is None
    assert "state `demand.duration`" in found.lines[0].how


def test_a_plain_job_has_no_hours_and_a_plain_endpoint_runs_all_month() -> None:
    job = load_workload(b"kind: job\nname: a\ncommand: python a.py\n", "a.yaml")
    endpoint = load_workload(b"kind: endpoint\nname: a\nmodel: models:/m@champion\n", "a.yaml")
    assert cost(needs_of(job)[0], "azureml-compute-cluster").amount is None
    of_endpoint = cost(needs_of(endpoint)[0], "azureml-online-endpoint")
    assert cents(of_endpoint.amount) == "61.76"  # F2s_v2: 730 x 0.0846 = 61.758


def test_notebooks_cost_people_times_hours_and_more_where_stopping_is_forgotten() -> None:
    wanted = need(
        part="explore",
        explore={"resources": SMALL, "demand": {"users": 5, "hours": 80.0}},
    )
    found = cost(wanted, "data-science-vm")
    assert cents(found.amount) == "38.40"  # 5 x 80 x 0.096
    assert cents(found.high) == "350.40"  # 5 x 730 x 0.096
    assert "forgotten" in found.lines[0].how


def test_spot_costs_the_spot_price_and_at_most_the_usual_one() -> None:
    wanted = need(part="train", train={"resources": EIGHT, "demand": {"duration": "5h"}})
    found = cost(wanted, "azureml-compute-cluster", tier="spot")
    assert cents(found.amount) == "1.62"  # 20 h x 0.081062
    assert cents(found.high) == "7.68"  # 20 h x 0.384


def test_reserved_is_paid_for_every_hour_of_the_month() -> None:
    found = cost(online(resources=SMALL), "azureml-online-endpoint", tier="reserved")
    assert cents(found.amount) == "49.06"  # 730 x 0.096 x 0.7 = 49.056
    assert cents(found.low) == "26.63"  # 730 x 0.096 x 0.38 = 26.6304
    assert found.is_estimated


def test_another_region_has_the_estimate_and_the_range() -> None:
    found = cost(online(resources=SMALL), "azureml-online-endpoint", "westeurope")
    assert cents(found.amount) == cents(found.low) == "70.08"
    assert cents(found.high) == "87.60"
    assert found.is_estimated


def test_a_standby_costs_the_same_machines_again() -> None:
    wanted = online(resources=SMALL, replicas=2)
    found = cost(wanted, "azureml-online-endpoint", standby="westeurope")
    assert cents(found.amount) == "280.32"
    second = line(found, "standby in westeurope")
    assert cents(second.amount) == "140.16"
    assert second.estimated


def test_databricks_says_that_its_own_units_are_not_known_and_how_to_fill_them() -> None:
    wanted = need(part="train", train={"resources": EIGHT, "demand": {"duration": "5h"}})
    found = cost(wanted, "databricks-jobs")
    assert found.amount is None
    assert cents(found.low) == "7.68"
    assert "kind: platform-prices" in line(found, "DBU").how


def test_an_import_states_what_databricks_charges_beside_the_machine() -> None:
    wanted = need(part="train", train={"resources": EIGHT, "demand": {"duration": "5h"}})
    catalog = catalog_with("platform-prices", "platform,amount,currency", "databricks-jobs,0.6,USD")
    found = cost(wanted, "databricks-jobs", catalog=catalog)
    assert cents(found.amount) == "19.68"  # 7.68 + 20 h x 0.6
    assert not any(each.amount is None for each in found.lines)


def test_what_scales_to_zero_is_paid_while_anybody_asks() -> None:
    catalog = catalog_with(
        "platform-prices", "platform,amount,currency", "databricks-model-serving,0.07,USD"
    )
    wanted = online(resources=SMALL, format="onnx", demand={"active_hours": 200.0})
    found = cost(wanted, "databricks-model-serving", catalog=catalog)
    assert cents(found.amount) == "14.00"


def test_what_is_owned_is_not_charged_again() -> None:
    context = owning(platform="kubernetes", region="westeurope", cpu=16, memory="64GiB", count=4)
    found = cost(
        online(resources=SMALL), "kubernetes", "westeurope", "own-hardware", context=context
    )
    assert found.amount == 0
    assert found.currency == "USD"
    assert "not charged again" in found.lines[0].how


def test_what_is_owned_costs_what_its_owner_reckons() -> None:
    context = owning(platform="kubernetes", region="westeurope", price_per_hour="0.5", count=4)
    wanted = online(resources=SMALL, replicas=2)
    found = cost(wanted, "kubernetes", "westeurope", "own-hardware", context=context)
    assert cents(found.amount) == "730.00"
    assert "as your inventory reckons it" in found.lines[0].how


def test_an_accelerator_without_a_price_says_so_and_what_nobody_stated() -> None:
    wanted = need(
        part="train",
        train={
            "resources": {"cpu": 8, "memory": "32GiB", "accelerator": "H200:4"},
            "demand": {"duration": "5h"},
        },
    )
    found = cost(wanted, "azureml-compute-cluster")
    assert found.amount is None
    assert "how many accelerators" in found.lines[0].how


@pytest.mark.parametrize(
    ("peak", "each", "count"), [(100, 30, 4), (90, 30, 3), (10, 30, 2), (0.3, 0.1, 3)]
)
def test_as_many_machines_as_the_measured_peak_needs(peak: float, each: float, count: int) -> None:
    demand = {
        "requests_per_second": min(peak, 1),
        "peak_requests_per_second": peak,
        "replica_requests_per_second": each,
    }
    wanted = online(resources=SMALL, replicas=2, demand=demand)
    assert machine_count(wanted, offered(wanted, "aks")[0]) == count


def test_the_range_goes_down_to_what_the_average_load_needs() -> None:
    demand = {
        "requests_per_second": 40,
        "peak_requests_per_second": 100,
        "replica_requests_per_second": 30,
    }
    found = cost(online(resources=SMALL, demand=demand), "azureml-online-endpoint")
    assert cents(found.amount) == "280.32"  # 4 machines for 100 a second
    assert cents(found.low) == "140.16"  # 2 for 40
    assert found.amount is not None
    assert found.low is not None
    assert Decimal(0) < found.low < found.amount


def test_runs_that_outlast_the_month_are_paid_on_several_machines() -> None:
    demand = {"runs": 700, "duration": "30h"}
    wanted = need(part="train", train={"resources": EIGHT, "demand": demand})
    # Paid while it runs: 21,000 h x 0.384, whatever number of machines share them.
    elastic = cost(wanted, "azureml-compute-cluster")
    assert cents(elastic.amount) == "8064.00"
    assert elastic.lines[0].what == "29 x D8s_v5"
    assert elastic.lines[0].how.startswith(
        "1 x 21,000 h (700 runs x 30 h, as stated, 29 at once) x 0.384 USD"
    )
    # Paid all month: 29 x 730 x 0.384, and 29 x 730 x 0.384 x 0.7 where they are reserved.
    assert cents(cost(wanted, "data-science-vm").amount) == "8129.28"
    reserved = cost(wanted, "azureml-compute-cluster", tier="reserved")
    assert cents(reserved.amount) == "5690.50"
    assert "29 x 730 h" in reserved.lines[0].how


def test_a_month_that_is_just_full_takes_one_machine() -> None:
    demand = {"runs": 73, "duration": "10h"}
    wanted = need(part="train", train={"resources": EIGHT, "demand": demand})
    assert cents(cost(wanted, "data-science-vm").amount) == "280.32"
    assert "at once" not in cost(wanted, "azureml-compute-cluster").lines[0].how


def test_a_gpu_is_paid_for_the_hours_that_a_person_may_hold_it() -> None:
    gpu = {"cpu": 4, "accelerator": "A100"}
    fields = {"gpu_hours": 10.0, "demand": {"users": 2, "hours": 80.0}}
    wanted = need(part="explore", explore={"resources": gpu, **fields})
    found = cost(wanted, "azureml-compute-instance")
    without = need(part="explore", explore={"resources": gpu, "demand": fields["demand"]})
    whole = cost(without, "azureml-compute-instance").amount
    assert whole is not None
    assert found.amount == whole / 8
    assert "2 x 10 h (`gpu_hours`" in found.lines[0].how
    plain = need(part="explore", explore={"resources": SMALL, **fields})
    assert "2 x 80 h" in cost(plain, "azureml-compute-instance").lines[0].how
