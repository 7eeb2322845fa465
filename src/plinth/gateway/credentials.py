"""What external models ask for, on its way from the secrets to Envoy: a file for each deployment.

The control plane writes them before it publishes; nobody else. Envoy reads a file again when it is
replaced. The values stand in nothing else that is written for Envoy, and Envoy shows them nowhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import sys
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path

from plinth.gateway.envoy_types import Json, config, typed
from plinth.kit.errors import Invalid
from plinth.kit.files import make_private, write_atomic

# Raises when its caller may not write any more.
Fence = Callable[[], None]

# Memory that no disk keeps. Jobs see another one of their own.
_SHARED_MEMORY = Path("/dev/shm")
_SECRET = "extensions.transport_sockets.tls.v3.Secret"
_GENERIC = "extensions.http.injected_credentials.generic.v3.Generic"
_INJECTOR = "envoy.filters.http.credential_injector"
_FILE = "secret.json"
# Many servers refuse every request with more: 8 KiB is what nginx and others take of one header.
MOST_HEADER_BYTES = 8 * 1024


def folder(gateway: Path) -> Path:
    """Return where the credentials of the gateway in `gateway` stand: in memory if that is ours.

    Otherwise below `gateway` itself, which is as private as the keys of the node.
    """
    if sys.platform == "linux" and os.access(_SHARED_MEMORY, os.W_OK):
        name = hashlib.sha256(os.fsencode(gateway)).hexdigest()[:12]
        place = _SHARED_MEMORY / f"plinth-{os.getuid()}-{name}"
        if _is_ours(place):
            return place
    return gateway / "credentials"


def forget(gateway: Path) -> None:
    """Remove every credential, for when nothing runs that needs one; the next start asks anew."""
    shutil.rmtree(folder(gateway), ignore_errors=True)


def _is_ours(place: Path) -> bool:
    """Make the folder; tell whether it is nobody else's: anybody may write beside it."""
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        found = place.lstat()
    except OSError:
        return False
    is_private = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077
    return is_private and found.st_uid == os.getuid()


def check(deployment_id: str, value: bytes) -> None:
    """Raise Invalid for a value that cannot be sent in a header."""
    _text(deployment_id, value)


def write(
    place: Path,
    values: Mapping[str, bytes],
    *,
    fence: Fence | None = None,
    keep_others: bool = False,
) -> None:
    """Have exactly these values, by the id of their deployment, in the folder `place`.

    A deployment that is not named loses its file, unless `keep_others`: Envoy must have forgotten
    it before. Raises Invalid for a value that cannot be sent in a header, with nothing written;
    what `fence` raises.
    """
    texts = {each: _text(each, value) for each, value in values.items()}
    make_private(place)
    for deployment_id, text in texts.items():
        path = _path(place, deployment_id)
        if not path.exists() or path.read_bytes() != text:
            make_private(path.parent)
            write_atomic(path, text, before_rename=fence)
    if not keep_others:
        keep_only(place, texts, fence=fence)


def keep_only(place: Path, names: Container[str], *, fence: Fence | None = None) -> None:
    """Remove the files of other deployments than these; Envoy must have forgotten them before."""
    for other in place.iterdir():
        if other.name not in names and other.is_dir():
            if fence is not None:
                fence()
            shutil.rmtree(other)


def _text(deployment_id: str, value: bytes) -> bytes:
    if not value or not all(0x20 < each < 0x7F for each in value):
        raise Invalid(
            f"the credential of `{deployment_id}` cannot be sent: it is empty, or holds a space, "
            "an end of a line or another character than printable ASCII",
            hint="set the secret again, without an end of line: `plinth secrets set NAME`",
        )
    if len(value) > MOST_HEADER_BYTES:
        raise Invalid(
            f"the credential of `{deployment_id}` cannot be sent: it has {len(value):,} bytes, and "
            f"many servers take at most {MOST_HEADER_BYTES:,} in a header",
            hint="set the secret again, to the key alone: `plinth secrets set NAME`",
        )
    secret = {"secret": {"inline_string": value.decode("ascii")}}
    return _resources([config(_SECRET, name=deployment_id, generic_secret=secret)])


def _resources(items: list[Json]) -> bytes:
    return json.dumps({"resources": items}, separators=(",", ":")).encode()


def _path(place: Path, deployment_id: str) -> Path:
    return place / deployment_id / _FILE


def injector(place: str, deployment_id: str, *, header: str, prefix: str) -> Json:
    """Return the filter of a cluster that puts the credential in the place of the caller's key."""
    own = f"{place}/{deployment_id}"
    source = {
        "path_config_source": {
            "path": f"{own}/{_FILE}",
            "watched_directory": {"path": own},
        },
        "resource_api_version": "V3",
    }
    credential = typed(
        "envoy.http.injected_credentials.generic",
        _GENERIC,
        credential={"name": deployment_id, "sds_config": source},
        header=header,
        header_value_prefix=prefix,
    )
    return typed(
        _INJECTOR,
        "extensions.filters.http.credential_injector.v3.CredentialInjector",
        credential=credential,
        overwrite=True,
    )


def prepare(clusters: Iterable[Json]) -> None:
    """Write an empty file wherever one that these clusters name is missing.

    Envoy refuses to read a configuration that names a missing file, and the folder is empty after
    the machine was started anew. Until the value comes the deployment answers 503.
    """
    for cluster in clusters:
        for options in cluster.get("typed_extension_protocol_options", {}).values():
            for each in options.get("http_filters", ()):
                if each["name"] == _INJECTOR:
                    _make_empty(each["typed_config"]["credential"]["typed_config"])


def _make_empty(generic: Json) -> None:
    source = generic["credential"]["sds_config"]["path_config_source"]
    path = Path(source["path"])
    if not path.exists():
        make_private(path.parent)
        write_atomic(path, _resources([]))
