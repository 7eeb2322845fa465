"""Probes of what `plinth up` started: each part is asked; what dead ones left is found."""

from __future__ import annotations

import json
import socket
import stat
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

from plinth.access.keyring import load
from plinth.access.master_key import MasterKeyring
from plinth.access.tokens import verify
from plinth.kit.clock import SystemClock
from plinth.kit.errors import PlinthError, Temporary
from plinth.kit.files import read_json
from plinth.kit.home import DEFAULT_PORT
from plinth.kit.units import format_duration
from plinth.units.processes import Process, boot_id, is_alive, left_behind
from plinth.upkeep.asking import ask
from plinth.upkeep.finding import Finding, Scene, failed, ok, skipped, warning
from plinth.upkeep.running import living

_ANSWER_S = 5.0
_UP = "`plinth up --detach` starts what is missing"
_NOT_STARTED = "`plinth up` was never done in this home"
_RENEWED_BEFORE = timedelta(days=30)


def probe_agent(scene: Scene) -> Finding:
    """Ask the node agent who it is."""
    name = "node agent"
    if not scene.was_started:
        return skipped(name, _NOT_STARTED)
    if scene.agent is None:
        alive = living(scene.home)
        fact = "it does not answer"
        if alive:
            return failed(name, f"{fact}, and {len(alive)} units live: {', '.join(alive[:5])}", _UP)
        return failed(name, f"{fact}; nothing of this home runs", _UP)
    if scene.agent.boot_id != boot_id():
        return failed(name, "it answers from before the machine was started anew", _UP)
    running = sum(each.phase == "running" for each in scene.units)
    return ok(name, f"process {scene.agent.pid}, {running} units run")


def probe_control(scene: Scene) -> Finding:
    """Ask the control plane, past the gateway, how it stands."""
    name = "control plane"
    if scene.agent is None:
        return _skipped_without_agent(name, scene)
    todo = "`plinth logs control` says why"
    try:
        status = _ask_control(scene)
    except Temporary as err:
        return failed(name, err.message, f"{_UP}; {todo}")
    if status is None:
        return failed(name, "it refuses the local administrator's key", todo)
    errors = status.get("errors") or {}
    if errors:
        words = "; ".join(f"{part}: {text}" for part, text in sorted(errors.items()))
        return warning(name, f"it answers, and reports {words}", todo)
    return ok(name, f"version {status['version']} answers")


def probe_gateway(scene: Scene) -> Finding:
    """Ask Envoy at its port; where it does not run, see whether the port could be had."""
    name = "gateway"
    port = int((scene.node or {}).get("port", DEFAULT_PORT))
    answers = _is_plinth(port)
    if scene.runs("envoy"):
        if answers:
            return ok(name, f"Envoy answers at 127.0.0.1:{port}")
        return failed(name, f"Envoy runs and does not answer at port {port}", "`plinth logs envoy`")
    if answers:
        return failed(
            name,
            f"another Plinth answers at port {port}",
            "end it there, or choose another port: `plinth up --port N`",
        )
    taken = _why_taken(port)
    if taken is not None:
        return failed(
            name, f"port {port} cannot be had: {taken}", "choose another: `plinth up --port N`"
        )
    if not scene.was_started:
        return ok(name, f"port {port} is free")
    return failed(name, f"Envoy does not run; port {port} is free", _UP)


def probe_tracking(scene: Scene) -> Finding:
    """Ask MLflow whether it is up."""
    name = "MLflow"
    if scene.agent is None:
        return _skipped_without_agent(name, scene)
    todo = "`plinth logs mlflow` says why"
    if not scene.runs("mlflow"):
        return failed(
            name, "it does not run", "`plinth status` shows what it waits for; `plinth logs mlflow`"
        )
    try:
        answer = ask(scene.home.socket("mlflow"), "/health")
    except Temporary as err:
        return failed(name, err.message, todo)
    if answer.code != HTTPStatus.OK:
        return failed(name, f"it answers {answer.code}", todo)
    return ok(name, "it answers")


def probe_signing_keys(scene: Scene) -> Finding:
    """Read the signing keys as the control plane does; they must be private."""
    name = "signing keys"
    if not scene.was_started:
        return skipped(name, _NOT_STARTED)
    folder = scene.home.secrets
    try:
        keyring = load(folder)
    except PlinthError as err:
        return failed(name, err.message, err.hint or "restore them from a backup")
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        return failed(name, f"others can look into `{folder}`", f"`chmod -R go= {folder}`")
    return ok(name, f"{len(keyring.keys)}, readable by their owner only")


def probe_master_keys(scene: Scene) -> Finding:
    """Read the master keys of secrets as the control plane does; they must be private."""
    name = "master keys"
    try:
        found = MasterKeyring(scene.home.secrets, SystemClock()).ids()
    except PlinthError as err:
        return failed(name, err.message, err.hint or "restore them from a backup")
    if not found:
        return skipped(name, "no secret was set in this home yet")
    fact = f"`{found[0]}` wraps the secrets, readable by its owner only"
    if len(found) > 1:
        return warning(
            name, f"{fact}; {len(found) - 1} older were not removed", "`plinth secrets rotate`"
        )
    return ok(name, fact)


def probe_token(scene: Scene) -> Finding:
    """Verify the local administrator's key with the signing keys."""
    name, path = "administrator's key", scene.home.admin_token
    if not scene.was_started:
        return skipped(name, _NOT_STARTED)
    if not path.exists():
        todo = "the control plane writes it as it starts: `plinth logs control`"
        return failed(name, f"`{path}` does not exist", todo)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        fact = f"`{path}` has mode {mode:04o}: others can read it"
        return failed(name, fact, f"`chmod 600 {path}`, and revoke it: `plinth keys revoke ID`")
    try:
        now = datetime.now(UTC)
        claims = verify(load(scene.home.secrets), path.read_text(encoding="ascii").strip(), now)
    except (PlinthError, ValueError) as err:
        words = err.message if isinstance(err, PlinthError) else "it is no text"
        return failed(name, words, f"remove `{path}`, then `plinth down` and `plinth up` renew it")
    left = claims.expires_at - now
    fact = f"valid for {format_duration(left.total_seconds())}"
    if left < _RENEWED_BEFORE:
        return warning(name, fact, "`plinth down`, then `plinth up` renew it")
    return ok(name, fact)


def probe_sockets(scene: Scene) -> Finding:
    """Find sockets at which nobody listens and that no living unit will take up again."""
    name = "sockets"
    if not scene.home.sockets.is_dir():
        return skipped(name, "there are none yet")
    stale = sorted(
        path.name for path in scene.home.sockets.glob("*.sock") if not _is_listened_to(path)
    )
    if not stale:
        return ok(name, "somebody listens at each")
    if scene.agent is None and not living(scene.home):
        return ok(name, f"{len(stale)} are left from the last time; the next start replaces them")
    # A unit that restarts binds its socket anew, so it hurts nobody.
    return warning(
        name,
        f"nobody listens at {len(stale)}: {', '.join(stale[:5])}",
        f"if they stay, remove them: `rm {scene.home.sockets / stale[0]}`",
    )


def probe_units(scene: Scene) -> Finding:
    """Find processes of units whose supervisor is gone, and folders that nobody can read."""
    name, root = "units", scene.home.units
    if not root.is_dir():
        return skipped(name, "there are none yet")
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    unreadable = [path.name for path in folders if _read(path / "spec.json") is None]
    alive = set(living(scene.home))
    orphans = [
        path.name for path in folders if path.name not in alive and _orphans(path, scene.agent)
    ]
    if orphans:
        return failed(
            name,
            f"processes of {', '.join(orphans[:5])} live and their supervisor does not",
            "`plinth up --detach`: the agent ends them, and their runs are told",
        )
    if unreadable:
        return warning(
            name,
            f"{len(unreadable)} folders cannot be read: {', '.join(unreadable[:5])}",
            f"see what is in `{root / unreadable[0]}`, then remove it",
        )
    return ok(name, f"{len(folders)} folders, {len(alive & {p.name for p in folders})} alive")


def _skipped_without_agent(name: str, scene: Scene) -> Finding:
    return skipped(name, "the node agent does not answer" if scene.was_started else _NOT_STARTED)


def _ask_control(scene: Scene) -> Mapping[str, Any] | None:
    token = ""
    if scene.home.admin_token.exists():
        token = scene.home.admin_token.read_text(encoding="ascii").strip()
    bearer = {"authorization": f"Bearer {token}"}
    answer = ask(scene.home.socket("control"), "/api/v1/status", bearer)
    if answer.code == HTTPStatus.UNAUTHORIZED:
        return None
    if answer.code != HTTPStatus.OK:
        raise Temporary(f"it answers {answer.code}")
    status: Mapping[str, Any] = json.loads(answer.body)
    return status


def _is_plinth(port: int) -> bool:
    try:
        return "x-plinth-id" in ask(port, "/health").headers
    except Temporary:
        return False


def _why_taken(port: int) -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as err:
            return err.strerror
    return None


def _is_listened_to(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_ANSWER_S)
        try:
            probe.connect(str(path))
        except TimeoutError:
            return True
        except OSError:
            return False
    return True


def _orphans(folder: Path, agent: object) -> bool:
    """Tell whether processes of a unit live without its supervisor; not while an agent looks."""
    identity = _read(folder / "identity.json")
    if agent is not None or identity is None or (folder / "exit.json").exists():
        return False
    if identity.get("boot_id") != boot_id():
        return False
    main = Process(**identity["child"])
    return is_alive(main) or bool(left_behind(main, str(folder)))


def _read(path: Path) -> Any | None:
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None


PROBES = (
    probe_agent,
    probe_control,
    probe_gateway,
    probe_tracking,
    probe_signing_keys,
    probe_master_keys,
    probe_token,
    probe_sockets,
    probe_units,
)
