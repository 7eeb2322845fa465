"""JupyterLab's server as a workspace runs it."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

from jupyter_server.auth.identity import IdentityProvider, User
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from jupyterlab.labapp import LabApp
from jupyterlab_server.handlers import LabHandler
from jupyterlab_server.workspaces_handler import WorkspacesHandler
from tornado.web import HTTPError
from tornado.websocket import WebSocketHandler

from .lab_activity import Watched
from .visits import CLOSED, KEY_HEADER, LEAVE_PATH, Visits

ACTIVITY_PATH = "/plinth/activity"
_SCRIPT = '<script src="/plinth/page.js" defer></script>'
# The folders that outlive a session.
_KEPT = ("personal", "team")
# A page that only stands open asks again and again for kernels, terminals and files.
_ONLY_READS = ("GET", "HEAD", "OPTIONS")
# What `!ls` needs where no terminal can be had.
_RAW_SYSTEM = "--IPKernelApp.exec_lines=get_ipython().system=get_ipython().system_raw"


class Person(IdentityProvider):  # type: ignore[misc]  # it comes untyped
    """Take everybody who comes for the one who works here: the gateway has let them in."""

    async def get_user(self, handler: Any) -> User:
        """Return who asks."""
        name = handler.request.headers.get("x-plinth-principal", "you")
        return User(username=name, name=name, display_name=name)

    @property
    def auth_enabled(self) -> bool:
        """Whether it asks who comes."""
        return False

    def validate_security(self, app: Any, ssl_options: Any = None) -> None:
        """Warn of nothing: nobody reaches the socket but the gateway."""


class Kernels(AsyncMappingKernelManager):  # type: ignore[misc]  # it comes untyped
    """The kernels, with the time when the first cell had run."""

    watched: Watched | None = None

    async def start_kernel(self, *given: Any, **settings: Any) -> str:
        """Start a kernel; one that can have no terminal runs commands without."""
        if not _has_terminals() and settings.get("kernel_name") in (None, "python3"):
            settings.setdefault("extra_arguments", [_RAW_SYSTEM])
        return str(await super().start_kernel(*given, **settings))

    def start_watching_activity(self, kernel_id: str) -> None:
        """Watch a kernel's messages, as every server does, and note its first cell."""
        super().start_watching_activity(kernel_id)
        kernel = self._kernels[kernel_id]
        record = kernel._activity_stream._recv_callback

        def look(messages: list[Any]) -> None:
            before = kernel.execution_state
            record(messages)
            watched = self.watched
            if watched is None or watched.first_cell_at is not None:
                return
            if before == "busy" and kernel.execution_state == "idle":
                watched.first_cell_at = time.time()

        kernel._activity_stream.on_recv(look)


class Files(AsyncLargeFileManager):  # type: ignore[misc]  # it comes untyped
    """The files that the page shows; what would not be kept is refused in words."""

    async def save(self, model: dict[str, Any], path: str = "") -> Any:
        """Write a file or make a folder."""
        _require_kept(path)
        return await super().save(model, path)

    async def rename_file(self, old_path: str, new_path: str) -> None:
        """Give a file or a folder another name or place."""
        _require_kept(old_path)
        _require_kept(new_path)
        await super().rename_file(old_path, new_path)

    async def delete_file(self, path: str) -> None:
        """Delete a file, or a folder with all that is in it."""
        _require_kept(path)
        await super().delete_file(path)


def _require_kept(path: str) -> None:
    first, _, rest = path.strip("/").partition("/")
    if first not in _KEPT or not rest:
        raise HTTPError(403, "Only what is in `personal` and `team` can be changed")


def _has_terminals() -> bool:
    try:
        descriptors = os.openpty()
    except OSError:
        return False
    for descriptor in descriptors:
        os.close(descriptor)
    return True


class Activity(JupyterHandler):  # type: ignore[misc]  # it comes untyped
    """Answers the control plane; being asked is no activity."""

    _track_activity = False
    watched: Watched

    async def get(self) -> None:
        """Say what goes on."""
        self.set_header("content-type", "application/json")
        self.finish(await self.watched.describe())


class Leave(JupyterHandler):  # type: ignore[misc]  # it comes untyped
    """Obeys the control plane: the gateway leads nobody here."""

    visits: Visits

    async def post(self) -> None:
        """Close the WebSockets of those whose right has ended."""
        try:
            self.visits.obey(self.request.body)
        except ValueError:
            self.set_status(400)
        self.finish()


class Server(ServerApp):  # type: ignore[misc]  # it comes untyped
    """Listens on the socket that it was given."""

    descriptor = 3

    def _find_http_port(self) -> None:
        """There is none to find."""

    def _bind_http_server(self) -> None:
        listener = socket.socket(fileno=self.descriptor)
        listener.setblocking(False)
        self.http_server.add_socket(listener)
        Leave.visits = Visits()
        _count_in(Leave.visits)
        Activity.watched = Watched(self, Leave.visits)
        self.kernel_manager.watched = Activity.watched
        self.web_app.add_handlers(".*$", [(ACTIVITY_PATH, Activity), (LEAVE_PATH, Leave)])
        _add_script()
        _leave_out_polls()


def _add_script() -> None:
    """Have JupyterLab's page load the countdown, which the gateway answers."""
    first = LabHandler.render_template

    def render(self: LabHandler, name: str, **more: Any) -> str:
        page: str = first(self, name, **more)
        return page.replace("</body>", f"{_SCRIPT}</body>", 1)

    LabHandler.render_template = render


def _count_in(visits: Visits) -> None:
    """Know of every WebSocket for as long as it is open, whoever's extension serves it."""
    first = WebSocketHandler.get

    async def get(self: WebSocketHandler, *given: Any, **named: Any) -> None:
        def close() -> None:
            connection = self.ws_connection
            if connection is not None:
                connection.close(CLOSED)
                # Whoever is sent away need not agree.
                connection._abort()

        with visits.stays(self.request.headers.get(KEY_HEADER), close):
            await first(self, *given, **named)

    WebSocketHandler.get = get  # type: ignore[method-assign,unused-ignore]


def _leave_out_polls() -> None:
    """Count as activity only what changes something, and what kernels and terminals tell."""
    # Where its tabs stand, a page that nobody touches saves every 10 s.
    WorkspacesHandler._track_activity = False
    first = APIHandler.update_api_activity

    def update(self: APIHandler) -> None:
        if self.request.method not in _ONLY_READS:
            first(self)

    APIHandler.update_api_activity = update


def start(root: Path, descriptor: int, *, transport: str) -> None:
    """Serve `root` until told to stop."""
    Server.descriptor = descriptor
    LabApp.serverapp_class = Server
    settings = {
        "ServerApp.root_dir": root,
        "FileContentsManager.preferred_dir": root / "personal",
        # Nothing listens there; it would try which address it could.
        "ServerApp.ip": "127.0.0.1",
        "IdentityProvider.token": "",
        "ServerApp.identity_provider_class": f"{__name__}.{Person.__name__}",
        "ServerApp.contents_manager_class": f"{__name__}.{Files.__name__}",
        "ServerApp.kernel_manager_class": f"{__name__}.{Kernels.__name__}",
        # The gateway is asked for a host of its own, and lets only that page change anything.
        "ServerApp.allow_remote_access": True,
        "ServerApp.disable_check_xsrf": True,
        "ServerApp.open_browser": False,
        "LabApp.open_browser": False,
        "ServerApp.allow_root": True,
        "ServerApp.quit_button": False,
        "ServerApp.use_redirect_file": False,
        "ServerApp.log_level": 30,
        "FileContentsManager.delete_to_trash": False,
        "FileContentsManager.always_delete_dir": True,
        "KernelManager.transport": transport,
        "LabApp.news_url": "",
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        "LabApp.extension_manager": "readonly",
        "LabApp.default_url": "/lab",
    }
    LabApp.launch_instance(argv=[f"--{name}={value}" for name, value in settings.items()])
