"""Write the catalog's token prices from those of the package genai-prices (MIT).

    uv run --no-project --with genai-prices python -m tools.token_prices --taken DAY
    python -m tools.token_prices data.json --taken DAY   # its repository's file, as in prices/

It keeps what Plinth asks: names, prices with their dates, hours and tiers, and where responses say
their usage; in Plinth's words, a model a line, so that a difference can be read. It needs nothing
of Plinth's dependencies, so that it runs beside the package. Whatever it does not know ends it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

Json = dict[str, Any]

TARGET = Path(__file__).parents[1] / "src/plinth/catalog/data/token_prices.json"
# Their units to our meters. What is None is counted in something else than tokens and left out.
METERS: dict[str, str | None] = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cached_input_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "cache_write_5m_tokens": "cache_write_5m_tokens",
    "cache_write_1h_tokens": "cache_write_1h_tokens",
    "input_tool_tokens": "tool_input_tokens",
    "output_reasoning_tokens": "reasoning_tokens",
    "output_citation_tokens": "citation_tokens",
    "requests": "requests",
    "web_searches": "web_searches",
    "storage_searches": "storage_searches",
    "audio_seconds": None,
    "input_audio_seconds": None,
    "input_characters": None,
    "input_text_messages": None,
    "input_document_pages": None,
    "input_annotated_document_pages": None,
}
for _kind in ("text", "audio", "image", "video"):
    METERS[f"input_{_kind}_tokens"] = f"input_{_kind}_tokens"
    METERS[f"output_{_kind}_tokens"] = f"output_{_kind}_tokens"
    METERS[f"cache_{_kind}_read_tokens"] = f"cached_input_{_kind}_tokens"
    METERS[f"input_{_kind}_tool_tokens"] = f"tool_input_{_kind}_tokens"
# How their price keys end, and their units do: `input_mtok` is the price of `input_tokens`.
ENDS = {"_mtok": "_tokens", "_kcount": ""}
OTHER = {
    "audio_hours": "hours of audio",
    "input_audio_hours": "hours of audio",
    "input_mchars": "characters",
    "input_text_messages_kcount": "messages",
    "input_document_kpages": "pages",
    "input_annotated_document_kpages": "annotated pages",
}
# Which of their contexts is a tier, and the value that is the standard price.
TIERS = {"processing": None, "service_tier": "default", "speed": "standard", "route": None}
# Prices of parts of what Plinth does not meter: not taken.
LEFT_OUT = {"search_type"}


class Unknown(Exception):
    """The source says something that this converter does not know."""


def convert(providers: list[Json], source: Json) -> Json:
    """Return the catalog's document. Raises Unknown for what is not understood."""
    made = {provider["id"]: convert_provider(provider) for provider in providers}
    return {**source, "providers": dict(sorted(made.items()))}


def convert_provider(provider: Json) -> Json:
    """Return one provider with its models, in the order in which they are matched."""
    return {
        "name": provider["name"],
        "pages": provider.get("pricing_urls") or [],
        "also": convert_clause(provider.get("provider_match")),
        "sells": convert_clause(provider.get("model_match")),
        "fallback": provider.get("fallback_model_providers") or [],
        "responses": [convert_extractor(each) for each in provider.get("extractors") or []],
        "models": [convert_model(model) for model in provider["models"]],
    }


def convert_clause(clause: Json | None) -> Any:
    """Return a rule on names: text for equality, a list for any of, else one pair."""
    if clause is None:
        return None
    ((kind, value),) = clause.items()
    if kind == "equals":
        return value.lower()
    if kind == "or":
        return [convert_clause(each) for each in value]
    if kind == "and":
        return {"all": [convert_clause(each) for each in value]}
    if kind in ("starts_with", "ends_with", "contains"):
        return {kind: value.lower()}
    if kind == "regex":
        return {"regex": value}
    raise Unknown(f"a rule of the kind `{kind}`")


def convert_extractor(extractor: Json) -> Json:
    """Return where responses of one kind hold the model's name and each meter."""
    meters = [
        [_path(each["path"]), METERS[each["dest"]], each.get("required", True)]
        for each in extractor["mappings"]
        if METERS[each["dest"]] is not None
    ]
    return {
        "flavour": extractor.get("api_flavor") or "default",
        "root": _path(extractor["root"]),
        "model": _path(extractor.get("model_path") or "model"),
        "meters": meters,
    }


def convert_model(model: Json) -> Json:
    """Return one model: its names and its rows of prices, the standard ones first."""
    rows = model["prices"]
    if not isinstance(rows, list):
        rows = [{"prices": rows}]
    converted = list(_rows(rows))
    other = sorted({OTHER[key] for row in rows for key in row["prices"] if key in OTHER})
    made = {"id": model["id"], "match": convert_clause(model["match"]), "prices": converted}
    tiers = [row for each in model.get("price_variants") or [] for row in _tier_rows(each)]
    if tiers:
        made["tiers"] = tiers
    if other:
        made["other"] = other
    return made


def _rows(rows: list[Json]) -> Iterator[Json]:
    since: str | None = None
    for row in rows:
        constraint = row.get("constraint") or {}
        made: Json = {"rates": _rates(row["prices"])}
        if "start_date" in constraint:
            since = constraint["start_date"]
        elif constraint:
            made["daily"] = [_clock(constraint["start_time"]), _clock(constraint["end_time"])]
        elif since is not None:
            raise Unknown("a row without a date behind one with a date")
        # Hours hold within the prices that stand before them, not before those began.
        if since is not None:
            made["from"] = since
        yield made


def _tier_rows(variant: Json) -> Iterator[Json]:
    ((context, value),) = variant["when"].items()
    if context in LEFT_OUT:
        return
    if context not in TIERS:
        raise Unknown(f"prices by `{context}`")
    if value == TIERS[context]:
        if _rates(variant["prices"]):
            raise Unknown(f"`{value}` is the standard price, and has one of its own")
        return
    constraint = variant.get("constraint") or {}
    if set(constraint) - {"start_date"}:
        raise Unknown(f"a tier by {', '.join(constraint)}")
    row: Json = {"tier": value, "rates": _rates(variant["prices"])}
    if constraint:
        row["from"] = constraint["start_date"]
    yield row


def _rates(prices: Json) -> Json:
    made: Json = {}
    for key, price in prices.items():
        if price is None or key in OTHER:
            continue
        end = next((end for end in ENDS if key.endswith(end)), None)
        meter = None if end is None else METERS.get(key.removesuffix(end) + ENDS[end])
        if meter is None:
            raise Unknown(f"a price of `{key}`")
        made[meter] = _rate(price)
    return made


def _rate(price: Any) -> Any:
    if isinstance(price, dict):
        steps = sorted((int(each["start"]), _decimal(each["price"])) for each in price["tiers"])
        return [_decimal(price["base"]), *([start, above] for start, above in steps)]
    return _decimal(price)


def _decimal(value: Any) -> str:
    number = Decimal(str(value))
    if not number.is_finite() or number < 0:
        raise Unknown(f"a price of {value}")
    return f"{number.normalize():f}"


def _clock(text: str) -> str:
    moment = datetime.fromisoformat(f"1970-01-01T{text}")
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).strftime("%H:%M")


def _path(path: Any) -> list[Any]:
    if isinstance(path, str):
        return [path]
    return [step if isinstance(step, str) else _item(step) for step in path]


def _item(step: Json) -> Json:
    return {"where": step["field"], "is": convert_clause(step["match"])}


def read_package() -> tuple[list[Json], Json]:
    """Return the providers of the installed package, and what it is."""
    providers = import_module("genai_prices.data").providers
    version = metadata.version("genai-prices")
    return [_plain(each) for each in providers], {"package": "genai-prices", "version": version}


def read_file(path: Path) -> tuple[list[Json], Json]:
    """Return the providers of a file of its repository, and what it is."""
    found = json.loads(path.read_text(), parse_float=Decimal)
    return found, {"package": "genai-prices", "version": path.name}


def _plain(value: Any) -> Any:
    """Return the package's objects as its files hold them."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if hasattr(value, "__dict__"):
        fields = vars(value).items()
        return {key.rstrip("_"): _plain(each) for key, each in fields if _is_said(key, each)}
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value


def _is_said(key: str, value: Any) -> bool:
    return value is not None and not key.startswith("_")


def write(document: Json) -> str:
    """Return the document as text: a provider's fields and each of its models on one line."""
    head = {key: value for key, value in document.items() if key != "providers"}
    lines = [f"{_text(key)}: {_text(value)},\n" for key, value in head.items()]
    providers = []
    for name, provider in document["providers"].items():
        fields = [f"{_text(key)}: {_text(provider[key])},\n" for key in provider if key != "models"]
        models = ",\n".join(_text(model) for model in provider["models"])
        providers.append(f'{_text(name)}: {{\n{"".join(fields)}"models": [\n{models}\n]}}')
    return "{" + "".join(lines) + '"providers": {\n' + ",\n".join(providers) + "\n}}\n"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def main() -> int:
    """Write the catalog's file; exit 1 with the reason when something is not understood."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", help="a data.json [default: the package]")
    parser.add_argument("--taken", required=True, help="the day of the source, like 2026-11-22")
    parser.add_argument("--to", type=Path, default=TARGET)
    options = parser.parse_args()
    providers, source = read_file(options.file) if options.file else read_package()
    try:
        document = convert(providers, {**source, "licence": "MIT", "taken": options.taken})
    except Unknown as err:
        sys.stderr.write(f"error: {err} is not known to this converter\n")
        return 1
    options.to.parent.mkdir(exist_ok=True)
    options.to.write_text(write(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
