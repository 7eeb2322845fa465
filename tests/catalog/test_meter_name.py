"""What Azure's names of meters say."""

from __future__ import annotations

from collections import defaultdict

import pytest

from plinth.catalog.meter_name import Counted, Deployment, MeterName, read_name
from plinth.catalog.meters import load_meters

GLOBAL, ZONE, REGION = Deployment.GLOBAL, Deployment.DATA_ZONE, Deployment.REGIONAL
OPENAI, GPT5, MEDIA = "Azure OpenAI", "Azure OpenAI GPT5", "Azure OpenAI Media"


def name(
    model: str,
    version: str,
    counted: str,
    deployment: Deployment | None,
    *also: str,
) -> MeterName:
    """Return a name; `also`: the modality, then the options with spaces between them."""
    modality, options = (*also, "", "")[:2]
    return MeterName(
        model, version, Counted(counted), deployment, modality, frozenset(options.split())
    )


@pytest.mark.parametrize(
    ("meter", "product", "meant"),
    [
        ("gpt 4o 1120 Inp regnl Tokens", OPENAI, name("gpt-4o", "1120", "input", REGION)),
        ("gpt-4o-0806-Outp-glbl Tokens", OPENAI, name("gpt-4o", "0806", "output", GLOBAL)),
        (
            "gpt 4o 1120 cached Inp Data Zone Tokens",
            OPENAI,
            name("gpt-4o", "1120", "cached-input", ZONE),
        ),
        (
            "5.4 nano Batch Opt Gl 1M Tokens",
            GPT5,
            name("gpt-5.4-nano", "", "output", GLOBAL, "", "batch"),
        ),
        (
            "GPT 5 Mini cchd Inpt DZone 1M Tokens",
            GPT5,
            name("gpt-5-mini", "", "cached-input", ZONE),
        ),
        (
            "5.6 luna LongCo Cd Wr Std DZ 1M Tokens",
            GPT5,
            name("gpt-5.6-luna", "", "cache-write", ZONE, "", "long-context"),
        ),
        (
            "4.1 mini pp Inp Dz Tokens",
            "Azure OpenAI PP FT GPT4s",
            name("gpt-4.1-mini", "", "input", ZONE, "", "priority"),
        ),
        (
            "gpt4omini-rt-txt1217 Inp regnl Tokens",
            OPENAI,
            name("gpt-4o-mini-realtime", "1217", "input", REGION, "text"),
        ),
        (
            "gpt-4o-aud-0603-txt Outp glbl Tokens",
            OPENAI,
            name("gpt-4o-audio", "0603", "output", GLOBAL, "text"),
        ),
        (
            "gpt img 1.5 in cd img gl 1M Tokens",
            MEDIA,
            name("gpt-image-1.5", "", "cached-input", GLOBAL, "image"),
        ),
        (
            "o4-mini-ft hosting global Unit",
            "Azure OpenAI Reasoning",
            name("o4-mini", "", "hosting", GLOBAL, "", "fine-tuned"),
        ),
        (
            "gpt-4.1-ft mdl grdr inpt Tokens",
            OPENAI,
            name("gpt-4.1", "", "input", None, "", "fine-tuned grader"),
        ),
        (
            "text-embedding-3-large-glbl Tokens",
            OPENAI,
            name("text-embedding-3-large", "", "input", GLOBAL),
        ),
        (
            "4.3 Cached Inp DZ Tokens",
            "Azure Grok Models",
            name("grok-4.3", "", "cached-input", ZONE),
        ),
        ("K2.5 cached glbl Tokens", "Azure Kimi", name("kimi-k2.5", "", "cached-input", GLOBAL)),
        (
            "Ministral 3bFTregnl Tokens",
            "Azure Mistral Models",
            name("ministral-3b", "", "other", REGION, "", "fine-tuned"),
        ),
        (
            "OSS 20b Outp FT DZ Tokens",
            "Azure OpenAI OSS Models",
            name("gpt-oss-20b", "", "output", ZONE, "", "fine-tuned"),
        ),
        (
            "Provisioned Managed Data Zone Unit",
            OPENAI,
            name("provisioned-managed-openai", "", "provisioned", ZONE),
        ),
    ],
)
def test_a_name_is_put_into_our_words(meter: str, product: str, meant: MeterName) -> None:
    assert read_name(meter, product) == meant


def test_meters_that_read_the_same_cost_the_same() -> None:
    """Where two names are one in our words, nobody pays more or less for that."""
    meters = load_meters()
    found = defaultdict(set)
    for each in meters:
        meant = meters.name_of(each)
        if meant.counted in (Counted.INPUT, Counted.OUTPUT, Counted.CACHED_INPUT):
            for region in each.regions:
                found[meant, each.unit, region].add((each.name, each.amount))
    for prices in found.values():
        assert len({amount for _, amount in prices}) == 1, prices


def test_nothing_makes_it_raise() -> None:
    for strange in ("", " ", "Tokens", "-", "é" * 500, "provisioned"):
        read_name(strange, strange)
