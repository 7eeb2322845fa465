"""Settings of our own filters, which stand in one library that Envoy loads (`native/`)."""

from __future__ import annotations

from plinth.gateway.envoy_types import TYPE_PREFIX, Json, config, typed
from plinth.gateway.native import library

MODULE_FILTER = "extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"
_TEXT = TYPE_PREFIX + "google.protobuf.StringValue"


def module_filter(name: str, part: str, text: str | None = None) -> Json:
    """Return a filter, called `name`, of a part of the library, which reads `text`."""
    return typed(name, MODULE_FILTER, **_settings(part, text))


def module_settings(part: str, text: str | None = None) -> Json:
    """Return the settings of a route or a host for one of these filters."""
    return config(f"{MODULE_FILTER}PerRoute", **_settings(part, text))


def _settings(part: str, text: str | None) -> Json:
    # Loaded once and kept: routes come and go while requests are on their way.
    module = {"module": {"local": {"filename": str(library())}}, "do_not_close": True}
    found: Json = {"dynamic_module_config": module, "filter_name": part}
    return found if text is None else {**found, "filter_config": {"@type": _TEXT, "value": text}}
