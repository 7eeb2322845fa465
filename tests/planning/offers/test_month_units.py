from __future__ import annotations

from fractions import Fraction

import pytest

from plinth.domain.inventory import Inventory, Owned
from plinth.planning.context import Context
from plinth.planning.offers.month_units import Load, provisioned_row, unit_prices, units_for
from plinth.planning.offers.offers import Offers
from tests.catalog.imported import catalog_with
from tests.planning.bought import CATALOG, DOLLARS, cents, cost, line, offered, online, owning

PROVISIONED = "azure-openai-provisioned"
# gpt-4o: a unit does 2,500 input tokens a minute, an output token counts as 4; Global 15, 20, ...
ASKED = {
    "requests_per_second": 2,
    "peak_requests_per_second": 4,
    "input_tokens": 1500,
    "output_tokens": 300,
}


def units(**fields: object) -> int:
    row = provisioned_row("gpt-4o", "global")
    assert row is not None
    return units_for(online(model="gpt-4o", **fields), row)


def test_the_units_hold_the_average_load() -> None:
    # 2 x 60 x (1,500 + 4 x 300) = 324,000 a minute / 2,500 = 129.6, in steps of 5 from 15.
    assert units(demand=ASKED) == 130


def test_a_throughput_that_must_be_guaranteed_takes_units_for_the_peak() -> None:
    # 648,000 / 2,500 = 259.2.
    assert units(demand=ASKED, requirements={"guaranteed_throughput": True}) == 260


def test_there_is_a_least_number_of_units() -> None:
    assert units(demand={**ASKED, "requests_per_second": 0.01}) == 15
    assert units(demand={"requests_per_second": 2}) == 15


def test_base_and_burst_are_lines_of_their_own_and_exact_to_the_cent() -> None:
    found = cost(
        online(model="gpt-4o", demand=ASKED),
        PROVISIONED,
        "eastus",
        "provisioned",
        processed_in="global",
    )
    # Provisioned Managed Global Unit: 1 USD an hour; 130 x 730.
    assert cents(line(found, "130 provisioned units").amount) == "94900.00"
    # The peak is 648,000 a minute and the units do 325,000; the average is half of the peak, so
    # (1 - 325 / 648)^2 = 24.8459 % of 19,710 and of 15,768 USD is beyond them.
    of_input, of_output = line(found, "input"), line(found, "output")
    assert (cents(of_input.amount), cents(of_output.amount)) == ("4897.13", "3917.70")
    assert cents(found.amount) == "103714.83"
    # However uneven the load is, no more than 1 - 325 / 648 of it is beyond the units.
    assert cents(of_input.high) == "9824.58"
    assert cents(of_input.low) == "0.00"
    assert "24.8 % of 5,256,000 requests" in of_input.how
    assert "`plinth size --trace FILE`" in of_input.how


def test_units_for_the_peak_leave_nothing_beyond() -> None:
    wanted = online(model="gpt-4o", demand=ASKED, requirements={"guaranteed_throughput": True})
    found = cost(wanted, PROVISIONED, "eastus", "provisioned", processed_in="global")
    assert [each.what for each in found.lines] == ["260 provisioned units for gpt-4o"]
    assert cents(found.amount) == "189800.00"


def test_a_unit_costs_what_its_region_charges() -> None:
    # Provisioned Managed Regional Unit: 2.00 in East US, 2.20 in Sweden Central, 2.40 in W. Europe.
    prices = unit_prices("gpt-4o", "region", CATALOG)
    amounts = [prices[each].amount for each in ("eastus", "swedencentral", "westeurope")]
    assert [f"{each:.2f}" for each in amounts] == ["2.00", "2.20", "2.40"]
    assert "provisioned-managed" not in prices


def test_a_stated_price_of_a_models_unit_goes_before_its_familys() -> None:
    catalog = catalog_with(
        "prices",
        "model,counted,deployment,amount,currency,unit",
        "gpt-4o,provisioned,global,0.5,USD,hour",
    )
    assert str(unit_prices("gpt-4o", "global", catalog)["eastus"].amount) == "0.5"
    assert str(unit_prices("gpt-4.1", "global", catalog)["eastus"].amount) == "1.0"


def test_what_a_reservation_costs_is_unknown_and_says_who_takes_a_quote() -> None:
    found = cost(
        online(model="gpt-4o", demand=ASKED),
        PROVISIONED,
        "eastus",
        "reserved",
        processed_in="global",
    )
    assert found.amount is None
    assert "--reserved-price" in line(found, "provisioned units").how


def test_requests_of_unknown_size_leave_what_is_beyond_unknown() -> None:
    found = cost(
        online(model="gpt-4o"), PROVISIONED, "eastus", "provisioned", processed_in="global"
    )
    assert found.amount is None
    assert cents(found.low) == "10950.00"  # 15 units x 730 h x 1 USD
    assert "state `demand.input_tokens`" in line(found, "beyond").how


def test_units_that_are_owned_are_not_charged_again() -> None:
    context = owning(platform=PROVISIONED, region="eastus", model="gpt-4o", units=100)
    wanted = online(model="gpt-4o", demand=ASKED)
    found = cost(
        wanted, PROVISIONED, "eastus", "provisioned", context=context, processed_in="global"
    )
    assert line(found, "of `ours`").amount == 0
    assert cents(line(found, "30 provisioned units").amount) == "21900.00"
    elsewhere = cost(
        wanted, PROVISIONED, "swedencentral", "provisioned", context=context, processed_in="global"
    )
    assert cents(line(elsewhere, "130 provisioned units").amount) == "94900.00"


@pytest.mark.parametrize(
    ("mean", "peak", "capacity", "shares"),
    [
        (10, 10, 10, (0, 0, 0)),
        (10, 30, 30, (0, 0, 0)),
        (10, 30, 0, (1, 1, 1)),
        # From 30 evenly to 0 in two thirds of the time: (1 - 10 / 30)^2.
        (10, 30, 10, (0, Fraction(4, 9), Fraction(2, 3))),
        # From 14 evenly to 6: above 10 a triangle of a quarter of 4, of an average of 10.
        (10, 14, 10, (0, Fraction(1, 10), Fraction(2, 7))),
        # Below the lowest load everything above the capacity is beyond it, however even.
        (10, 14, 5, (Fraction(1, 2), Fraction(1, 2), Fraction(9, 14))),
        (0, 0, 5, (0, 0, 0)),
    ],
)
def test_what_is_beyond_the_capacity(
    mean: int, peak: int, capacity: int, shares: tuple[Fraction, Fraction, Fraction]
) -> None:
    assert Load(Fraction(mean), Fraction(peak)).spilled(Fraction(capacity)) == shares


def test_what_is_beyond_is_never_outside_its_range() -> None:
    for peak in range(10, 60, 7):
        for capacity in range(0, 60, 3):
            least, expected, most = Load(Fraction(10), Fraction(peak)).spilled(Fraction(capacity))
            assert 0 <= least <= expected <= most <= 1


def test_as_many_units_as_are_owned_are_used_up_to_the_peak() -> None:
    # The average takes 130, the peak 260.
    for owned, used in ((100, 130), (200, 200), (900, 260)):
        context = owning(platform=PROVISIONED, region="eastus", model="gpt-4o", units=owned)
        wanted = online(model="gpt-4o", demand=ASKED)
        (*_, offer) = offered(wanted, PROVISIONED, "eastus", "provisioned", context=context)
        assert Offers(CATALOG, context).count(wanted, offer) == used
        assert Offers(CATALOG, context).count(wanted, offer.model_copy(update={"region": "x"})) == (
            130
        )


def test_the_fewest_units_are_those_of_the_catalog() -> None:
    row = provisioned_row("llama-3.3-70b", "global")
    assert row is not None
    assert row is provisioned_row("Llama-3.3-70B-Instruct", "global")
    assert units_for(online(model="llama-3.3-70b"), row) == row.minimum == 100


def test_a_second_region_has_units_of_its_own() -> None:
    wanted = online(model="gpt-4o", demand=ASKED, requirements={"guaranteed_throughput": True})
    found = cost(
        wanted, PROVISIONED, "eastus", "provisioned", processed_in="region", standby="westeurope"
    )
    # 300 units (in steps of 50) x 730 h: 2.00 USD in East US, 2.40 in West Europe.
    assert [each.what for each in found.lines] == [
        "300 provisioned units for gpt-4o",
        "standby in westeurope: 300 provisioned units for gpt-4o",
    ]
    assert [cents(each.amount) for each in found.lines] == ["438000.00", "525600.00"]


def test_what_spills_is_paid_once_and_the_second_regions_units_come_on_top() -> None:
    wanted = online(model="gpt-4o", demand=ASKED)
    asked = (wanted, PROVISIONED, "eastus", "provisioned")
    alone = cost(*asked, processed_in="global")
    both = cost(*asked, processed_in="global", standby="westus")
    assert alone.amount is not None
    assert both.amount is not None
    assert cents(both.amount - alone.amount) == "94900.00"


def owning_units(*stated: tuple[str | None, int]) -> Context:
    owned = tuple(
        Owned(
            name=f"ours-{units}", platform=PROVISIONED, model="gpt-4o", region=region, units=units
        )
        for region, units in stated
    )
    return DOLLARS.model_copy(update={"inventory": Inventory(owned=owned)})


@pytest.mark.parametrize("turned", [False, True])
def test_units_of_several_entries_are_added_up_in_whatever_order(turned: bool) -> None:
    stated: list[tuple[str | None, int]] = [("eastus", 30), (None, 20), ("eastus", 50)]
    context = owning_units(*(stated[::-1] if turned else stated))
    found = cost(
        online(model="gpt-4o", demand=ASKED),
        PROVISIONED,
        "eastus",
        "provisioned",
        context=context,
        processed_in="global",
    )
    assert [each.what for each in found.lines[:4]] == [
        "30 provisioned units of `ours-30`",
        "50 provisioned units of `ours-50`",
        "20 provisioned units of `ours-20`",
        "30 provisioned units for gpt-4o",
    ]
    assert cents(found.lines[3].amount) == "21900.00"


def test_as_many_units_are_used_as_all_entries_have() -> None:
    context = owning_units(("eastus", 120), (None, 100))
    wanted = online(model="gpt-4o", demand=ASKED)
    (*_, offer) = offered(wanted, PROVISIONED, "eastus", "provisioned", context=context)
    assert Offers(CATALOG, context).count(wanted, offer) == 220


def test_units_that_are_bound_to_no_region_are_used_in_one_of_the_two() -> None:
    context = owning_units((None, 200), ("westus", 40))
    wanted = online(model="gpt-4o", demand=ASKED)
    found = cost(
        wanted,
        PROVISIONED,
        "eastus",
        "provisioned",
        context=context,
        processed_in="global",
        standby="westus",
    )
    words = [each.what for each in found.lines if "beyond" not in each.what]
    assert words == [
        "200 provisioned units of `ours-200`",
        "standby in westus: 40 provisioned units of `ours-40`",
        "standby in westus: 160 provisioned units for gpt-4o",
    ]
