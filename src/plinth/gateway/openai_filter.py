"""The filter that reads OpenAI's protocol: endpoints by body, usage in answers, names of models.

It is our own, in `native/`, and does nothing where no route names a part of it: `CALLER` where
callers come in, `ANSWER` where only what is answered counts, `RENAME` before a server elsewhere.
The part of the first route that a request comes to holds for all of it.
"""

from __future__ import annotations

import json

from plinth.gateway.envoy_types import Json
from plinth.gateway.module import module_filter, module_settings

OPENAI_FILTER = "plinth.openai"
CALLER, ANSWER, RENAME = "caller", "answer", "rename"
# How the access log calls a request that it refuses, because it cannot be read.
UNREADABLE = "plinth_unreadable"

# What the filter writes down, by the namespaces and keys of Envoy's metadata.
REQUEST_METADATA, USAGE_METADATA = "plinth", "plinth.usage"

_NOTHING = "none"


def openai_filter() -> Json:
    """Return the filter; Envoy does not even make it for a request before a route asks for it."""
    return {**module_filter(OPENAI_FILTER, _NOTHING), "disabled": True}


def usage_filters() -> list[Json]:
    """Return what notes the usage of every answer, where no route chooses."""
    return [module_filter(OPENAI_FILTER, ANSWER)]


def rename_model(name: str) -> Json:
    """Return what a route to a server elsewhere has, for a model that is called `name` there.

    It is merged into the route; the body of its requests is read whole.
    """
    settings = told(model=json.dumps(name, ensure_ascii=False))
    return {**settings, "typed_per_filter_config": run_part(RENAME)}


def run_part(part: str) -> Json:
    """Return the settings, of a route or a host, that have the filter run `part`."""
    return {OPENAI_FILTER: module_settings(part)}


def told(**values: str | bool) -> Json:
    """Return what the filter finds in the route, as a part of the route."""
    return {"metadata": {"filter_metadata": {OPENAI_FILTER: values}}}
