"""The tools of workspaces are pinned, and each has its program here."""

from __future__ import annotations

from plinth.runtimes.tool import load_tools
from plinth.tracking.server import MLFLOW_VERSION


def test_every_tool_is_pinned_and_knows_mlflow_and_openai() -> None:
    tools = load_tools()
    assert set(tools) == {"jupyterlab", "marimo"}
    for tool in tools.values():
        assert all("==" in each for each in tool.packages), tool.name
        assert f"mlflow-skinny=={MLFLOW_VERSION}" in tool.packages
        assert any(each.startswith("openai==") for each in tool.packages)
        assert (tool.folder / "notebookhost").is_dir()
        assert tool.page.startswith("/")
