"""What the name of a model's meter says: model, version, what is counted, how it is deployed.

Azure's price list has names such as `gpt 4o 1120 cached Inp regnl Tokens` and `5.4 nano Batch Opt
Gl 1M Tokens`: abbreviations of many hands. `read_name` puts them into the words that plans use;
what it does not know stays in the model's name, so that two meters are never taken for one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")


class Deployment(StrEnum):
    """How a model is deployed: processed anywhere, within a data zone, or in the one region."""

    GLOBAL = "global"
    DATA_ZONE = "data-zone"
    REGIONAL = "regional"


class Counted(StrEnum):
    """What a meter counts."""

    INPUT = "input"
    CACHED_INPUT = "cached-input"
    CACHE_WRITE = "cache-write"
    OUTPUT = "output"
    TRAINING = "training"
    HOSTING = "hosting"
    PROVISIONED = "provisioned"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class MeterName:
    """A meter's name in our words.

    `version`: the model's, as the list writes it (`1120`), empty: none. `deployment` None: the name
    does not say. `modality`: `text`, `audio` or `image` where one model has several, else empty.
    `options`: what makes the price a special one: `batch`, `priority`, `fine-tuned`, `grader`,
    `long-context`, `short-context`, `developer`, `training-rft`.
    """

    model: str
    version: str
    counted: Counted
    deployment: Deployment | None
    modality: str
    options: frozenset[str]


_DEPLOYMENTS = {
    **dict.fromkeys(("glbl", "gl", "glb", "global"), Deployment.GLOBAL),
    **dict.fromkeys(("dz", "dzn", "dzone", "datazone"), Deployment.DATA_ZONE),
    **dict.fromkeys(("regnl", "regional", "rgnl", "rg", "regn"), Deployment.REGIONAL),
}
_COUNTED = {
    **dict.fromkeys(("inp", "inpt", "input", "in"), Counted.INPUT),
    **dict.fromkeys(("outp", "outpt", "out", "output", "opt"), Counted.OUTPUT),
    **dict.fromkeys(("training", "trng"), Counted.TRAINING),
    **dict.fromkeys(("hosting", "hstng"), Counted.HOSTING),
}
_CACHED = frozenset({"cd", "cached", "cchd", "cched", "ccchd", "cache", "ch"})
_OPTIONS = {
    **dict.fromkeys(("batch",), "batch"),
    **dict.fromkeys(("pp",), "priority"),
    **dict.fromkeys(("ft",), "fine-tuned"),
    **dict.fromkeys(("rft",), "training-rft"),
    **dict.fromkeys(("grader", "grdr"), "grader"),
    **dict.fromkeys(("longco",), "long-context"),
    **dict.fromkeys(("shortco",), "short-context"),
    **dict.fromkeys(("dev",), "developer"),
}
_MODALITIES = {
    **dict.fromkeys(("txt", "text"), "text"),
    **dict.fromkeys(("aud", "audio"), "audio"),
    **dict.fromkeys(("img", "image"), "image"),
}
# Models that take or give several modalities even where their name holds none of them.
_MANY = frozenset({"realtime", "tts", "transcribe", "embed"})
_SPELLED_OUT = {
    "mn": "mini",
    "rt": "realtime",
    "rtime": "realtime",
    "trscb": "transcribe",
    "tcrb": "transcribe",
    "mnstrl": "ministral",
    "prvw": "preview",
    "gpt4o": "gpt-4o",
    "gpt4omini": "gpt-4o-mini",
    "gpt35": "gpt-35",
    "grok4": "grok-4",
    "llama3.3": "llama-3.3",
    "realtimeprvw": "realtime-preview",
    "turbo16k": "turbo-16k",
    "turbo4k": "turbo-4k",
    "turbo128k": "turbo-128k",
    "mm3.5": "medium-3.5",
    "aud1217": "aud 1217",
    "txt1217": "txt 1217",
    "mini0718": "mini 0718",
    "deepseekv3.2": "deepseek v3.2",
    "batchoutp": "batch outp",
}
# What a name leaves out because the product says it: product -> what the model's name starts with.
_FAMILIES = {
    "Azure OpenAI GPT5": "gpt",
    "Azure OpenAI PP FT GPT4s": "gpt",
    "Azure OpenAI OSS Models": "gpt-oss",
    "Azure Grok Models": "grok",
    "Azure Kimi": "kimi",
    "Azure Deepseek Models": "deepseek",
    "Azure Llama Models": "llama",
    "Azure Mistral Models": "mistral",
    "Cohere Models": "cohere",
}
_OWN_NAMES = ("mai", "codestral", "ministral", "o1", "o3", "o4")
_NO_MEANING = frozenset({"az", "std", "ep", "mdl", "mdel", "tkn", "1m", "fine", "tuned"})
_KNOWN = frozenset({*_DEPLOYMENTS, *_COUNTED, *_CACHED, *_OPTIONS, *_NO_MEANING, "wr"})
_UNITS = frozenset({"tokens", "token", "unit", "units"})
_VERSION = re.compile(r"[0-9]{4}|[0-9]{8}")
_APART = re.compile(r"[ \-_]+")
_GLUED = re.compile(r"realtimeprvw(aud|txt)(inp|outp)|3bft(regnl)", re.IGNORECASE)


def read_name(meter: str, product: str) -> MeterName:
    """Put a meter's name into our words. Never raises: what is not understood is `other`."""
    words = _words(meter)
    if "provisioned" in words:
        return _provisioned(words, product)
    rest = [word for word in words if word not in _KNOWN and not _VERSION.fullmatch(word)]
    versions = [word for word in words if _VERSION.fullmatch(word)]
    options = frozenset(_OPTIONS[word] for word in words if word in _OPTIONS)
    counted = _counted(words)
    modality = _take_modality(rest)
    model = _model(rest, product, options)
    return MeterName(
        model=model,
        version=versions[-1] if versions else "",
        counted=counted,
        deployment=_last(words, _DEPLOYMENTS),
        modality=modality,
        options=options,
    )


def _counted(words: list[str]) -> Counted:
    if "wr" in words:
        return Counted.CACHE_WRITE
    if not _CACHED.isdisjoint(words):
        return Counted.CACHED_INPUT
    # An embedding's tokens are those that go in.
    is_embedding = any(word.startswith("embed") for word in words)
    return _last(words, _COUNTED) or (Counted.INPUT if is_embedding else Counted.OTHER)


def _last(words: list[str], meanings: Mapping[str, T]) -> T | None:
    return next((meanings[word] for word in reversed(words) if word in meanings), None)


def _words(meter: str) -> list[str]:
    text = _GLUED.sub(_apart, meter.lower()).replace("data zone", "datazone")
    words = [word for word in _APART.split(text) if word and word not in _UNITS]
    return [part for word in words for part in _SPELLED_OUT.get(word, word).split()]


def _apart(match: re.Match[str]) -> str:
    if match[3]:
        return f"3b ft {match[3]}"
    return f"realtimeprvw {match[1]} {match[2]}"


def _take_modality(words: list[str]) -> str:
    """Take the modality out of the words where it is not a part of the model's name."""
    places = [place for place, word in enumerate(words) if word in _MODALITIES]
    if "embedding" in words or "embeddings" in words or not places:
        return ""
    has_many = any(many in word for word in words for many in _MANY)
    if len(places) > 1 or has_many:
        return _MODALITIES[words.pop(places[-1])]
    return ""


def _model(words: list[str], product: str, options: frozenset[str]) -> str:
    if "grader" in options and words and words[-1] == "model":
        words = words[:-1]
    words = [_MODALITIES.get(word, word) for word in words]
    name = "-".join(words)
    family = _FAMILIES.get(product)
    if words[:1] == ["image"] and product.startswith("Azure OpenAI"):
        family = "gpt" if words[1:2] == ["2"] else None
    if family is None or name.startswith((family, *_OWN_NAMES)):
        return name
    if family == "gpt-oss" and name.startswith("oss-"):
        return f"gpt-{name}"
    return f"{family}-{name}"


def _provisioned(words: list[str], product: str) -> MeterName:
    deployment = next((_DEPLOYMENTS[word] for word in words if word in _DEPLOYMENTS), None)
    rest = "-".join(word for word in words if word not in {*_DEPLOYMENTS, "az"})
    model = "-".join((rest, *product.lower().removeprefix("azure ").split()))
    return MeterName(model, "", Counted.PROVISIONED, deployment, "", frozenset())
