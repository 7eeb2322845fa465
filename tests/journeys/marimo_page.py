"""A marimo notebook without a browser: its WebSocket, its requests, cells that run."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import httpx

from tests.journeys.notebook import Cell, Notebook, WebSocket

_SESSION = "s_plinth"
# It stands in the page, and says that the page is of this server's version; it is no secret.
_VERSION_TOKEN = re.compile(r'"serverToken":\s*"([^"]+)"')
_IDLE, _ERROR = "idle", "marimo-error"


@dataclass
class MarimoNotebook:
    """A notebook's file that is open at a workspace's page; `cells`: its cells and their code."""

    page: Notebook
    file: str
    cells: dict[str, str]
    _headers: dict[str, str]
    _socket: WebSocket

    @classmethod
    def open(cls, page: Notebook, file: str) -> MarimoNotebook:
        """Open a file of the personal folder, and a kernel for it; nothing runs yet."""
        shown = page.ask("GET", f"/?file={file}")
        assert shown.status_code == 200, shown.text
        found = _VERSION_TOKEN.search(shown.text)
        assert found is not None
        headers = {"Marimo-Session-Id": _SESSION, "Marimo-Server-Token": found[1]}
        socket = page.connect(f"/ws?session_id={_SESSION}&file={file}")
        ready: dict[str, Any] = {}
        while ready.get("op") != "kernel-ready":
            ready = json.loads(socket.receive())
        told = ready["data"]
        cells = dict(zip(told["cell_ids"], told["codes"], strict=True))
        opened = cls(page, file, cells, headers, socket)
        opened.post("instantiate", objectIds=[], values=[], autoRun=False)
        return opened

    def post(self, what: str, **body: Any) -> httpx.Response:
        """Ask the kernel for something, as the page does."""
        answer = self.page.ask("POST", f"/api/kernel/{what}", json=body, headers=self._headers)
        assert answer.status_code == 200, answer.text
        return answer

    def begin(self, code: str) -> str:
        """Put code into the first cell, run it and return at once; return the cell."""
        cell = next(iter(self.cells))
        self.cells[cell] = code
        self.post("run", cellIds=[cell], codes=[code])
        return cell

    def run(self, code: str) -> Cell:
        """Do the same, to its end."""
        cell, found, was_running = self.begin(code), Cell(), False
        while True:
            told = json.loads(self._socket.receive())
            if told["op"] != "cell-op" or told["data"]["cell_id"] != cell:
                continue
            data = told["data"]
            found.text += "".join(str(each["data"]) for each in _listed(data["console"]))
            output = data["output"] or {}
            if output.get("channel") == _ERROR:
                found.error = json.dumps(output["data"])
            was_running = was_running or data["status"] == "running"
            if was_running and data["status"] == _IDLE:
                return found

    def save(self) -> None:
        """Write the notebook's file, as Ctrl+S does."""
        self.post(
            "save",
            cellIds=list(self.cells),
            codes=list(self.cells.values()),
            names=["_" for _ in self.cells],
            configs=[{"hide_code": False, "disabled": False} for _ in self.cells],
            filename=self.file,
            layout=None,
            persist=True,
        )

    def close(self) -> None:
        """Leave the page; its kernel stays for a while."""
        self._socket.close()


def _listed(console: Any) -> list[dict[str, Any]]:
    if console is None:
        return []
    return console if isinstance(console, list) else [console]
