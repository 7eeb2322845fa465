"""Make ready what the sending of a batch needs: plain Python, its input, a folder."""

from __future__ import annotations

from plinth.control.context import Context
from plinth.control.openai_batches.progress import folder_of
from plinth.control.preparation import Prepared, base_variables, make_folder
from plinth.domain.request_batch import RequestBatch
from plinth.engines.base import Mount
from plinth.environments.spec import EnvironmentSpec, this_python
from plinth.kit.errors import Permanent
from plinth.runtimes.runtime import CATALOG
from plinth.store.runs import StoredRun

CONTENT = "content"
_SERVERS = CATALOG.parent


def file_key(team: str, file_id: str) -> str:
    """Return where the bytes of a file lie in the storage."""
    return f"files/{team}/{file_id}/{CONTENT}"


def prepare_requests(context: Context, run: StoredRun, requests: RequestBatch) -> Prepared:
    """Build the environment and make the folder. Raises Temporary while that goes on."""
    environment = context.builder.need(
        EnvironmentSpec(packages=(), python=this_python()), f"batch {requests.name}"
    )
    path = context.storage.local_path(file_key(run.team, requests.input_file))
    if path is None or not path.is_file():
        raise Permanent(f"the file `{requests.input_file}` is not in the storage of this node")
    folder = make_folder(context, run, None)
    variables = base_variables(environment.folder, folder, requests.resources.cpu)
    # The folder of the package itself, and not of Plinth: it is from the standard library only.
    variables |= {"PYTHONPATH": str(_SERVERS), "PLINTH_SENDER": run.principal}
    work = folder_of(context, run.id)
    command = (
        *(str(environment.python), "-m", "requestrunner"),
        *("--input", str(path), "--folder", str(work)),
        *("--requests", str(requests.requests), "--at-once", str(requests.at_once)),
        *("--patience-s", str(max(1.0, requests.grace - 5.0))),
    )
    mounts = (
        Mount(str(environment.folder)),
        Mount(str(_SERVERS)),
        Mount(str(path.parent)),
        Mount(str(folder), writable=True),
    )
    return Prepared(command, variables, str(work), mounts)
