"""Make a workspace's session ready: its environment, its folders, its links to the platform."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from plinth.control.context import Context
from plinth.control.data_folder import find_local
from plinth.control.preparation import Prepared, base_variables, make_folder
from plinth.domain.workspace import Workspace
from plinth.engines.base import Mount
from plinth.environments.requirement import refuse_left_out
from plinth.environments.spec import EnvironmentSpec, this_python
from plinth.kit.files import make_private
from plinth.kit.ids import digest_of
from plinth.runtimes.tool import NotebookTool, load_tools
from plinth.store.runs import StoredRun

# From this level on Unix sockets work, and `/tmp` is the workspace's own.
_OWN_FILES = 3
_PRIVATE_SHORT = "/tmp/jupyter"
# Below it, kernels are spoken to over TCP: so many ports for each workspace, of these.
_PORTS, _FIRST_PORT, _RANGES = 100, 20_000, 100


def personal_folder(context: Context, team: str, owner: str, workspace: Workspace) -> Path:
    """Return where a workspace's own files lie.

    A person's are the same in all their workspaces of a team; a shared workspace has its own.
    """
    place = context.home.files / team
    return place / "shared" / workspace.name if workspace.shared else place / "people" / owner


def team_folder(context: Context, team: str) -> Path:
    """Return where the files lie that all workspaces of a team have in common."""
    return context.home.files / team / "team"


def workspace_environment(workspace: Workspace) -> EnvironmentSpec:
    """Return the environment of a workspace: its own packages and those of its tool.

    Raises Invalid for packages that are none, and where it leaves out what the tool needs.
    """
    tool, own = tool_of(workspace), workspace.environment
    refuse_left_out(own.leave_out, tool.packages, tool.name)
    return EnvironmentSpec(
        packages=(*own.packages, *tool.packages),
        python=this_python(),
        without_dependencies=own.without_dependencies,
        leave_out=own.leave_out,
    )


def prepare_workspace(context: Context, run: StoredRun, workspace: Workspace) -> Prepared:
    """Build the environment and make the folders. Raises Temporary while that goes on.

    The run's author is the workspace's owner: whose folder is mounted follows from that.
    """
    tool = tool_of(workspace)
    spec = workspace_environment(workspace)
    environment = context.builder.need(spec, f"workspace {workspace.name}")
    context.tracking.ensure_workspace(run.team)
    folder = make_folder(context, run, None)
    personal = personal_folder(context, run.team, run.created_by, workspace)
    shown = {"personal": personal, "team": team_folder(context, run.team)}
    for each in shown.values():
        make_private(each)
    mounts = [
        Mount(str(environment.folder)),
        Mount(str(tool.folder)),
        Mount(str(folder / "work")),
        Mount(str(folder / "tmp"), writable=True),
        *(Mount(str(each), writable=True) for each in shown.values()),
    ]
    variables = base_variables(environment.folder, folder, workspace.resources.cpu)
    variables |= _own_places(personal) | {"PYTHONPATH": str(tool.folder)}
    # marimo shows the personal folder only; what a cell writes finds the other by this.
    variables["PLINTH_TEAM_FOLDER"] = str(shown["team"])
    for name, version in run.data.items():
        local = find_local(context, version)
        mounts.append(Mount(str(local.folder)))
        shown[f"data/{name}"] = local.path
        prefix = f"PLINTH_DATA_{name.upper().replace('-', '_')}"
        variables |= {
            prefix: str(local.path),
            f"{prefix}_VERSION": str(version.version),
            f"{prefix}_DIGEST": version.digest,
            f"{prefix}_URI": version.uri,
        }
    _show(folder / "work", shown)
    level = context.engine.capability.isolation or 0
    variables["JUPYTER_RUNTIME_DIR"] = (
        _PRIVATE_SHORT if level >= _OWN_FILES else str(folder / "tmp" / "jupyter")
    )
    command = [str(environment.python), "-m", tool.module, "--root", str(folder / "work")]
    ports: range = range(0)
    if level >= _OWN_FILES:
        command += ["--transport", "ipc"]
    elif level == _OWN_FILES - 1 and workspace.network == "gateway":
        ports = kernel_ports(run.id)
        command += ["--ports", f"{ports[0]}-{ports[-1]}"]
    return Prepared(tuple(command), variables, str(personal), tuple(mounts), tuple(ports))


def kernel_ports(run_id: str) -> range:
    """Return the TCP ports of a session's kernels.

    Two sessions may have the same ones: then each takes those that are free, and what is spoken
    there is signed.
    """
    place = int(digest_of(run_id.encode())[:8], 16) % _RANGES
    first = _FIRST_PORT + place * _PORTS
    return range(first, first + _PORTS)


def tool_of(workspace: Workspace) -> NotebookTool:
    """Return what the workspace opens in the browser."""
    return _tools()[workspace.tool]


@cache
def _tools() -> dict[str, NotebookTool]:
    return load_tools()


def _own_places(personal: Path) -> dict[str, str]:
    """Return where the tools keep what a person sets, so that it is there the next time."""
    return {
        "HOME": str(personal),
        "JUPYTER_CONFIG_DIR": str(personal / ".jupyter"),
        "JUPYTER_DATA_DIR": str(personal / ".local" / "share" / "jupyter"),
        "IPYTHONDIR": str(personal / ".ipython"),
        "DO_NOT_TRACK": "true",
    }


def _show(folder: Path, shown: dict[str, Path]) -> None:
    """Make the folder that the browser shows: links, which the session cannot change."""
    for name, aim in shown.items():
        link = folder / name
        link.parent.mkdir(mode=0o700, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(aim)
