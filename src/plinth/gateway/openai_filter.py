"""The filter that reads OpenAI's protocol: endpoints by body, usage in answers, names of models.

It is our own, in `native/`, and does nothing where no route names a part of it: `CALLER` where
callers come in, `ANSWER` where only what is answered counts, `RENAME` before a server elsewhere.
The part of the first route that a request comes to holds for all of it.
"""

from __future__ import annotations

import json

from plinth.gateway.envoy_types import Json, config, typed
from plinth.gateway.native import library

OPENAI_FILTER = "plinth.openai"
CALLER, ANSWER, RENAME = "caller", "answer", "rename"
# How the access log calls a request that it refuses, because it cannot be read.
UNREADABLE = "plinth_unreadable"

# What the filter writes down, by the namespaces and keys of Envoy's metadata.
REQUEST_METADATA, USAGE_METADATA = "plinth", "plinth.usage"

_KIND = "extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"
_NOTHING = "none"


def openai_filter() -> Json:
    """Return the filter; Envoy does not even make it for a request before a route asks for it."""
    return {**_filter(_NOTHING), "disabled": True}


def usage_filters() -> list[Json]:
    """Return what notes the usage of every answer, where no route chooses."""
    return [_filter(ANSWER)]


def rename_model(name: str) -> Json:
    """Return what a route to a server elsewhere has, for a model that is called `name` there.

    It is merged into the route; the body of its requests is read whole.
    """
    settings = told(model=json.dumps(name, ensure_ascii=False))
    return {**settings, "typed_per_filter_config": run_part(RENAME)}


def run_part(part: str) -> Json:
    """Return the settings, of a route or a host, that have the filter run `part`."""
    settings = config(f"{_KIND}PerRoute", dynamic_module_config=_module(), filter_name=part)
    return {OPENAI_FILTER: settings}


def told(**values: str | bool) -> Json:
    """Return what the filter finds in the route, as a part of the route."""
    return {"metadata": {"filter_metadata": {OPENAI_FILTER: values}}}


def _filter(part: str) -> Json:
    return typed(OPENAI_FILTER, _KIND, dynamic_module_config=_module(), filter_name=part)


def _module() -> Json:
    # Loaded once and kept: routes come and go while requests are on their way.
    return {"module": {"local": {"filename": str(library())}}, "do_not_close": True}
