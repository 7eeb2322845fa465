"""A prompt flow's folder as an ASGI app: Microsoft's own executor, with our connections and traces.

Whatever the flow calls its connections, those to OpenAI and Azure OpenAI lead to the gateway.
"""

from __future__ import annotations

import functools
import importlib
import json
import logging
import os
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from promptflow._core.cache_manager import enable_cache
from promptflow._core.flow_execution_context import FlowExecutionContext
from promptflow._core.tool import ToolProvider, tool
from promptflow._core.tools_manager import register_apis, register_builtins
from promptflow._utils.flow_utils import resolve_flow_path
from promptflow.core._connection_provider._connection_provider import ConnectionProvider
from promptflow.core._connection_provider._dict_connection_provider import DictConnectionProvider
from promptflow.core._serving.app import create_app
from promptflow.core._serving.v2.fastapi_response_creator import FastapiResponseCreator
from promptflow.core._utils import init_executable
from promptflow.exceptions import (
    ErrorTarget,
    PromptflowException,
    SystemErrorException,
    UserErrorException,
)

from .asking import check_tool_inputs, refused_endpoint
from .host import App, Message, Receive, Send
from .invoking import to_json
from .leaving import said_of
from .traces import Traces

CONNECTIONS = "PLINTH_FLOW_CONNECTIONS"
_AZURE, _OPENAI, _CUSTOM = "AzureOpenAIConnection", "OpenAIConnection", "CustomConnection"
_PROVIDERS = {"AzureOpenAI": _AZURE, "OpenAI": _OPENAI}
_API_VERSION = "2024-10-21"
_KINDS = {"llm": "LLM", "python": "TOOL", "prompt": "PARSER"}


def load(folder: str, traces: Traces, *, variant: str | None = None) -> App:
    """Return the flow's app; `variant`: the one of a node to use, as `NODE.VARIANT`.

    Raises what promptflow raises for a flow that it cannot run, LookupError for no such variant.
    """
    path = prepare(folder, traces)
    more = {}
    if variant is not None:
        path = write_variant(path, variant)
        more = {"flow_file_path": str(path)}
    app = create_app(engine="fastapi", **more)
    app.logger.setLevel(logging.WARNING)
    app.logger.addFilter(_is_news)
    executor = app.flow_invoker.executor
    check_tool_inputs(executor._flow.nodes, executor._tools_manager.get_tool)
    return at_root(app)


def at_root(app: App) -> App:
    """Return the app as one that is mounted nowhere: promptflow's compares whole addresses."""

    async def unmounted(scope: Message, receive: Receive, send: Send) -> None:
        root = scope.get("root_path", "")
        if scope["type"] == "http" and root:
            raw = scope["raw_path"].removeprefix(root.encode())
            path = scope["path"].removeprefix(root)
            scope = {**scope, "root_path": "", "path": path, "raw_path": raw}
        await app(scope, receive, send)

    return unmounted


def prepare(folder: str, traces: Traces) -> Path:
    """Let promptflow find the flow, its tools and connections, and trace its nodes.

    Returns the flow's file.
    """
    os.environ["PROMPTFLOW_PROJECT_PATH"] = folder
    _offer_tools()
    traces.watch_libraries("openai")
    _trace_nodes(traces)
    _refuse_strange_numbers()
    path, file_name = resolve_flow_path(folder, allow_prompty_dir=True)
    flow = init_executable(flow_path=path / file_name, working_dir=Path(folder))
    custom = json.loads(os.environ.get(CONNECTIONS, "{}"))
    ConnectionProvider._instance = Connections(types_of(flow), custom)
    return Path(path, file_name)


def _is_news(record: logging.LogRecord) -> bool:
    # The whole error as JSON, which the node's own line and its caller have said already.
    return not str(record.msg).startswith("Flow run failed with error")


def write_variant(path: Path, variant: str) -> Path:
    """Return a file beside the flow's that uses another variant of a node. Raises LookupError."""
    node, _, name = variant.partition(".")
    flow = yaml.safe_load(path.read_text())
    variants = flow.get("node_variants", {}).get(node, {}).get("variants", {})
    if name not in variants:
        known = [
            f"{each}.{one}"
            for each, described in flow.get("node_variants", {}).items()
            for one in described.get("variants", {})
        ]
        listed = ", ".join(known) or "none"
        raise LookupError(f"there is no variant `{variant}`; there are {listed}")
    flow["node_variants"][node]["default_variant_id"] = name
    written = path.with_name(f".plinth-{node}.{name}.flow.dag.yaml")
    written.write_text(yaml.safe_dump(flow, sort_keys=False))
    return written


def _offer_tools() -> None:
    """Register the tools of LLM nodes, which ask for two modules of promptflow's command line."""
    internal = types.ModuleType("promptflow._internal")
    offered = (ToolProvider, tool, register_apis, register_builtins, enable_cache)
    internal.__dict__.update({each.__name__: each for each in offered})
    commands = types.ModuleType("promptflow._cli")
    settings = types.ModuleType("promptflow._cli._utils")
    commands.__dict__.update({"__path__": [], "_utils": settings})
    # What it would read is the Azure workspace that a person's shell is signed in to.
    settings.__dict__["get_workspace_triad_from_local"] = _no_workspace
    for module in (internal, commands, settings):
        sys.modules.setdefault(module.__name__, module)
    importlib.import_module("promptflow.tools")


def _no_workspace(*_given: Any, **_named: Any) -> None:
    return None


class Connections(DictConnectionProvider):  # type: ignore[misc]
    """Connections by whatever name a flow uses; `kinds`: of which type each of them is."""

    def __init__(self, kinds: Mapping[str, str], custom: Mapping[str, Mapping[str, str]]) -> None:
        super().__init__({})
        self._kinds = kinds
        self._custom = custom

    def get(self, name: str, **_more: Any) -> Any:
        """Return the connection. Raises LookupError when the flow's file does not say it."""
        if name in self._custom:
            value = dict(self._custom[name])
            return self._build_connection(_described(name, _CUSTOM, value))
        kind = self._kinds.get(name, _AZURE)
        if kind not in _PROVIDERS.values():
            raise LookupError(f"the flow asks for the connection `{name}`, which nobody describes")
        address = os.environ.get("PLINTH_ADDRESS", "")
        value = {"api_key": os.environ.get("PLINTH_KEY", "")}
        if kind == _OPENAI:
            value["base_url"] = f"{address}/v1"
        else:
            value |= {"api_base": address, "api_type": "azure", "api_version": _API_VERSION}
        return self._build_connection(_described(name, kind, value))


def _described(name: str, kind: str, value: dict[str, str]) -> dict[str, Any]:
    module = "promptflow.connections"
    return {"type": kind, "name": name, "module": module, "value": value}


def types_of(flow: Any) -> dict[str, str]:
    """Return of which type each connection is, as the nodes that use it say."""
    found: dict[str, str] = {}
    for node in flow.nodes:
        if node.connection:
            found[str(node.connection)] = _PROVIDERS.get(str(node.provider), str(node.provider))
        try:
            known = flow.get_tool(node.tool)
        except Exception:  # noqa: BLE001 - whatever a tool's own file says wrong, its load tells
            continue
        for name, assigned in node.inputs.items():
            wanted = known.inputs.get(name) if known is not None else None
            kinds = [str(getattr(each, "value", each)) for each in getattr(wanted, "type", ())]
            kind = next((each for each in kinds if each.endswith("Connection")), None)
            if kind is not None and isinstance(assigned.value, str):
                found[assigned.value] = kind
    return found


def _trace_nodes(traces: Traces) -> None:
    """Have each node of each request leave a step in its trace, around whatever it calls."""
    run = FlowExecutionContext._invoke_tool_inner
    run_async = FlowExecutionContext._invoke_tool_async_inner
    if hasattr(run, "__wrapped__"):
        return

    @functools.wraps(run)
    def traced(self: Any, node: Any, function: Any, inputs: dict[str, Any]) -> Any:
        told = (node.name, kind_of(node), without_connections(inputs))
        with traces.step(*told) as step, _in_words(node.name, inputs):
            step.output = run(self, node, function, inputs)
        return step.output

    @functools.wraps(run_async)
    async def traced_async(self: Any, node: Any, function: Any, inputs: dict[str, Any]) -> Any:
        told = (node.name, kind_of(node), without_connections(inputs))
        with traces.step(*told) as step, _in_words(node.name, inputs):
            step.output = await run_async(self, node, function, inputs)
        return step.output

    FlowExecutionContext._invoke_tool_inner = traced
    FlowExecutionContext._invoke_tool_async_inner = traced_async


def _refuse_strange_numbers() -> None:
    """Have an output that JSON cannot say refused by its name, before the answer is written."""
    create = FastapiResponseCreator.create_json_response
    if hasattr(create, "__wrapped__"):
        return

    @functools.wraps(create)
    def checked(self: Any) -> Any:
        to_json(self.non_stream_fields)
        return create(self)

    FastapiResponseCreator.create_json_response = checked


@contextmanager
def _in_words(node: str, inputs: Mapping[str, Any]) -> Iterator[None]:
    """Name the endpoint that the node asked in vain, and the node that wanted the process to end.

    The executor lets nothing but an Exception pass in order.
    """
    try:
        yield
    except PromptflowException as err:
        words = refused_endpoint(node, err, inputs)
        if words is None:
            raise
        raise UserErrorException(message=words, target=ErrorTarget.TOOL) from err
    except (SystemExit, KeyboardInterrupt) as err:
        words = f"node `{node}`: {said_of(err)}"
        raise SystemErrorException(message=words, target=ErrorTarget.TOOL) from err


def kind_of(node: Any) -> str:
    """Return what kind of step a node is to MLflow."""
    kind = str(getattr(node.type, "value", node.type))
    return _KINDS.get(kind, "TOOL")


def without_connections(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a node's inputs without its connections, which hold keys, and promptflow's own."""
    return {
        name: value
        for name, value in inputs.items()
        if not name.startswith("_") and not type(value).__name__.endswith("Connection")
    }
