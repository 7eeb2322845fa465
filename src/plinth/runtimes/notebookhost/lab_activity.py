"""What goes on in JupyterLab: kernels, terminals, open connections, and what they all use.

The control plane asks for it again and again; to be asked is no activity.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .usage import Usage
from .visits import Visits


class Watched:
    """What a server's managers know, put together."""

    def __init__(self, server: Any, visits: Visits) -> None:
        self._server = server
        self._visits = visits
        self._usage = Usage()
        self.first_cell_at: float | None = None

    async def describe(self) -> dict[str, Any]:
        """Return it as JSON; times are seconds since 1970."""
        names = await self._names()
        kernels = [
            {
                "name": names.get(kernel["id"], kernel["name"]),
                "state": kernel["execution_state"],
                "active_at": _seconds(kernel["last_activity"]),
                "connections": kernel["connections"],
            }
            for kernel in self._server.kernel_manager.list_kernels()
        ]
        return {
            "kernels": kernels,
            "terminals": [{"active_at": at} for at in self._terminals()],
            "connections": sum(each["connections"] for each in kernels),
            "active_at": self._server.web_app.last_activity().timestamp(),
            **self._usage.measure(),
            "first_cell_at": self.first_cell_at,
            "visitors": self._visits.keys,
        }

    async def _names(self) -> dict[str, str]:
        """Return the notebook of each kernel, by the kernel's id."""
        sessions = await self._server.session_manager.list_sessions()
        return {each["kernel"]["id"]: each["path"] or each["name"] for each in sessions}

    def _terminals(self) -> list[float]:
        """Return when something was last typed or printed in each terminal."""
        manager = self._server.web_app.settings.get("terminal_manager")
        terminals = {} if manager is None else manager.terminals
        known = [getattr(each, "last_activity", None) for each in terminals.values()]
        return [each.timestamp() for each in known if each is not None]


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
