"""Where one node of Plinth keeps its files: the one list of paths below PLINTH_HOME."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from plinth.kit.errors import Invalid
from plinth.kit.files import make_private

DEFAULT_PORT = 8470
# The unit of a node's control plane; others beside it are `control-2` and so on.
CONTROL = "control"
# sockaddr_un.sun_path: 108 bytes on Linux, 104 on macOS, one of them the closing zero.
SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103
_LONGEST_SOCKET_NAME = 40


@dataclass(frozen=True, slots=True)
class Home:
    """The folders and files of one node. Every folder is 0700."""

    root: Path

    @property
    def node_file(self) -> Path:
        """What `plinth up` decided: port and address, as JSON."""
        return self.root / "node.json"

    @property
    def sockets(self) -> Path:
        """Unix sockets of the control plane, MLflow, Envoy's admin, the agent, model servers."""
        return self.root / "run"

    @property
    def secrets(self) -> Path:
        """The administrator's token, the signing keys and the master keys of secrets."""
        return self.root / "secrets"

    @property
    def admin_token(self) -> Path:
        """The local administrator's key (0600)."""
        return self.secrets / "admin.token"

    @property
    def units(self) -> Path:
        """One folder for each supervised process: what to run, identity, log, exit."""
        return self.root / "units"

    @property
    def database(self) -> Path:
        """SQLite: intent and observed state."""
        return self.root / "db" / "plinth.db"

    @property
    def ledger(self) -> Path:
        """SQLite: usage records, and how far each source was read."""
        return self.root / "db" / "ledger.db"

    @property
    def gateway(self) -> Path:
        """Envoy's bootstrap, its configuration (one folder for each xDS type), its access log."""
        return self.root / "gateway"

    @property
    def gateway_record(self) -> Path:
        """What Envoy has acknowledged: noted by who publishes, read by every control plane."""
        return self.gateway / "published.json"

    @property
    def environments(self) -> Path:
        """Managed environments, a folder for each digest."""
        return self.root / "environments"

    @property
    def catalog(self) -> Path:
        """What `plinth catalog import` keeps: facts and prices that the organisation states."""
        return self.root / "catalog"

    @property
    def storage(self) -> Path:
        """The local object store: data versions and code snapshots by digest."""
        return self.root / "storage"

    @property
    def runs(self) -> Path:
        """Work folders, one for each run."""
        return self.root / "runs"

    @property
    def models(self) -> Path:
        """Model versions fetched for serving, a folder for each."""
        return self.root / "models"

    @property
    def data(self) -> Path:
        """Data versions of many files, gathered from the storage under their own names."""
        return self.root / "data"

    @property
    def files(self) -> Path:
        """What people keep in workspaces: their own folders and their team's."""
        return self.root / "files"

    @property
    def tracking(self) -> Path:
        """MLflow's database and artifacts."""
        return self.root / "mlflow"

    @staticmethod
    def control_planes(count: int) -> tuple[str, ...]:
        """Return the units of so many control planes of a node, in the order they are asked."""
        return (CONTROL, *(f"{CONTROL}-{number}" for number in range(2, count + 1)))

    def socket(self, name: str) -> Path:
        """Return the path of the Unix socket `name`."""
        return self.sockets / f"{name}.sock"

    def folders(self) -> tuple[Path, ...]:
        """Return every folder that must exist before anything starts."""
        return (
            self.root,
            self.sockets,
            self.secrets,
            self.units,
            self.database.parent,
            self.gateway,
            self.environments,
            self.storage,
            self.runs,
            self.models,
            self.data,
            self.files,
            self.tracking,
        )

    def check_length(self) -> None:
        """Return if Unix sockets fit below the home, and logs can name them. Raises Invalid."""
        if not str(self.root).isprintable():
            raise Invalid(
                f"PLINTH_HOME {str(self.root)!r} holds a character that cannot be printed",
                hint="choose another folder: `plinth up --home DIR` or PLINTH_HOME",
            )
        length = len(os.fsencode(self.sockets)) + 1 + _LONGEST_SOCKET_NAME
        if length > SOCKET_PATH_BYTES:
            room = SOCKET_PATH_BYTES - _LONGEST_SOCKET_NAME - len("/run/")
            raise Invalid(
                f"PLINTH_HOME `{self.root}` has {len(os.fsencode(self.root))} bytes; Unix sockets "
                f"below it allow {room}",
                hint="choose a shorter folder: `plinth up --home DIR` or PLINTH_HOME",
            )

    def prepare(self) -> None:
        """Make every folder, private to its owner.

        Raises Invalid when the path is too long for Unix sockets or cannot be written.
        """
        self.check_length()
        try:
            for folder in self.folders():
                make_private(folder)
        except OSError as err:
            raise Invalid(
                f"PLINTH_HOME `{self.root}` cannot be written: {err.strerror}",
                hint="choose a folder that you own: `plinth up --home DIR` or PLINTH_HOME",
            ) from err


def find_home(environment: Mapping[str, str], chosen: Path | None = None) -> Home:
    """Return the home that was asked for: `--home`, else PLINTH_HOME, else `~/.plinth`."""
    path = chosen or Path(environment.get("PLINTH_HOME") or Path.home() / ".plinth")
    return Home(Path(os.path.abspath(path.expanduser())))
