"""What the gateway must know: the one input of everything that is rendered for Envoy."""

from __future__ import annotations

from dataclasses import dataclass

from plinth.domain.traffic import EndpointRoute
from plinth.kit.home import CONTROL


@dataclass(frozen=True, slots=True)
class Writers:
    """Who may write in the workspace of `team`, besides its runs: some, or all its members."""

    team: str
    principals: tuple[str, ...] = ()
    everybody: bool = False


@dataclass(frozen=True, slots=True)
class WorkspaceRoute:
    """A workspace, and who may open its page: principals, and whole teams without their runs.

    `socket`: where it listens; None: it is not open.
    """

    name: str
    socket: str | None = None
    principals: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GatewayState:
    """The whole state of one node's gateway, as plain values.

    `sockets`: the folder of the Unix sockets. `folder`: Envoy's own folder, with its configuration.
    `jwks`: the public signing keys, a JWKS document as text. `revoked`: ids of keys that are
    refused although they have not expired. `platform`: the principal that checks candidates.
    `writers`: by team, who may change what MLflow holds; in a team that is not named, only runs.
    `workspaces`: by name, every one that there is.
    `credentials`: the folder of what external models ask for, a file for each deployment.
    `is_guarded`: whether the guard runs; only then is it asked.
    `allow_private_upstreams`: whether an external model may stand at a private address.
    `mark`: what requests to servers elsewhere carry, so that one that comes back is known; empty:
    nothing.
    `control_planes`: their units; the first that answers gets what is for the control plane.
    """

    port: int
    sockets: str
    folder: str
    access_log: str
    jwks: str
    platform: str
    endpoints: tuple[EndpointRoute, ...] = ()
    revoked: tuple[str, ...] = ()
    writers: tuple[Writers, ...] = ()
    workspaces: tuple[WorkspaceRoute, ...] = ()
    control_planes: tuple[str, ...] = (CONTROL,)
    credentials: str = ""
    is_guarded: bool = False
    allow_private_upstreams: bool = False
    mark: str = ""

    def socket(self, name: str) -> str:
        """Return the path of the Unix socket `name`."""
        return f"{self.sockets}/{name}.sock"
