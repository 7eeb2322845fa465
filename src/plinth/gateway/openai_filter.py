"""The filter that reads OpenAI's protocol: endpoints by body, usage in answers, names of models.

`openai.lua` is its program, of which each place runs a part: `CALLER` where callers come in,
`ANSWER` where a copy of a request is answered, `RENAME` before a server elsewhere.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from plinth.gateway.envoy_types import Json, config, typed

OPENAI_FILTER = "plinth.openai"
CALLER, ANSWER, RENAME = "caller", "answer", "rename"

# What the filter writes down, by the namespaces and keys of Envoy's metadata.
REQUEST_METADATA, USAGE_METADATA = "plinth", "plinth.usage"

_LUA = "extensions.filters.http.lua.v3.Lua"
_ENTRIES = {
    CALLER: "envoy_on_request, envoy_on_response = read_request, read_response",
    ANSWER: "envoy_on_response = read_response",
    RENAME: "envoy_on_request = rename_model",
}


def openai_filter(*parts: str) -> Json:
    """Return the filter with these parts of its program; it does nothing until a route asks."""
    sources = {part: {"inline_string": f"{_program()}\n{_ENTRIES[part]}\n"} for part in parts}
    return typed(OPENAI_FILTER, _LUA, source_codes=sources)


def usage_filters() -> list[Json]:
    """Return what notes the usage of every answer, where no route chooses."""
    source = {"inline_string": f"{_program()}\n{_ENTRIES[ANSWER]}\n"}
    return [typed(OPENAI_FILTER, _LUA, default_source_code=source)]


def rename_model_filter() -> Json:
    """Return the filter that calls a model by another name on routes with `rename_model`."""
    return openai_filter(RENAME)


def rename_model(name: str) -> Json:
    """Return what a route to a server elsewhere has, for a model that is called `name` there.

    It is merged into the route; the body of its requests is read whole.
    """
    return {**told(model=name), "typed_per_filter_config": run_part(RENAME)}


def run_part(part: str) -> Json:
    """Return the settings, of a route or a host, that have the filter run `part`."""
    return {OPENAI_FILTER: config("extensions.filters.http.lua.v3.LuaPerRoute", name=part)}


def told(**values: str | bool) -> Json:
    """Return what the filter finds in the route, as a part of the route."""
    return {"metadata": {"filter_metadata": {OPENAI_FILTER: values}}}


@cache
def _program() -> str:
    return files("plinth.gateway").joinpath("openai.lua").read_text()
