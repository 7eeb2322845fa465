"""Give this process a file system of its own that holds only what it may use (level 3).

A list of what is there, not of what is hidden: no server's socket, no secret and no other run's
folder has a name in it. An ordinary user needs a user namespace for this. Called between fork and
exec, before capabilities are dropped.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import struct
from dataclasses import dataclass

from plinth.units.isolation.layout import (
    PSEUDO_TERMINALS,
    SHARED_MEMORY,
    TEMPORARY,
    Layout,
    devices,
    plan,
)
from plinth.units.kernel import machine, syscall

_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000
_NOSUID, _NODEV, _NOEXEC, _REMOUNT = 0x2, 0x4, 0x8, 0x20
_BIND, _RECURSIVE = 0x1000, 0x4000
_READ_ONLY, _PRIVATE = 0x1, 0x40000
_DETACH = 2
_AT_RECURSIVE = 0x8000
_LARGEST_TEMPORARY = 2**30


@dataclass(frozen=True, slots=True)
class _Calls:
    mount: int
    unmount: int
    pivot: int
    unshare: int
    set_attributes: int = 442


_CALLS = {"x86_64": _Calls(165, 166, 155, 272), "aarch64": _Calls(40, 39, 41, 97)}


def enter(read: tuple[str, ...], write: tuple[str, ...], memory_bytes: int | None = None) -> None:
    """Move this process into a root that shows only these paths, devices and empty scratch space.

    /tmp and /dev/shm are new, empty and private, and hold no more than `memory_bytes` each. Raises
    OSError naming the step that failed.
    """
    _unshare()
    _mount(None, "/", None, _RECURSIVE | _PRIVATE)
    layout = plan((*read, *devices()), write)
    # Opened now, because what is mounted next hides some of them.
    sources = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in layout.binds}
    # Any folder will do to build in: this mount is seen by nobody else.
    root = TEMPORARY
    _mount("tmpfs", root, "tmpfs", _NOSUID | _NODEV, "size=16m,mode=755")
    for folder, size in scratch(memory_bytes).items():
        os.makedirs(root + folder)
        _mount("tmpfs", root + folder, "tmpfs", _NOSUID | _NODEV, f"size={size},mode=1777")
    _build(root, layout, sources)
    _mount(None, root, None, _REMOUNT | _BIND | _READ_ONLY | _NOSUID | _NODEV)
    os.chdir(root)
    calls = _CALLS[machine()]
    here = ctypes.create_string_buffer(b".")
    # The old root comes to lie on the new one, and is then taken away.
    syscall("pivot_root", calls.pivot, here, here)
    syscall("umount(old root)", calls.unmount, here, _DETACH)
    os.chdir("/")
    for descriptor in sources.values():
        os.close(descriptor)


def scratch(memory_bytes: int | None) -> dict[str, str]:
    """Return the folders that live in memory, each with the size that it may grow to.

    Frameworks pass whole batches through the second.
    """
    if memory_bytes is None:
        return {TEMPORARY: str(_LARGEST_TEMPORARY), SHARED_MEMORY: "50%"}
    temporary = min(_LARGEST_TEMPORARY, memory_bytes)
    return {TEMPORARY: str(temporary), SHARED_MEMORY: str(memory_bytes)}


def _build(root: str, layout: Layout, sources: dict[str, int]) -> None:
    for path, writable in layout.binds.items():
        target = root + path
        is_folder = stat.S_ISDIR(os.fstat(sources[path]).st_mode)
        if not os.path.lexists(target):
            os.makedirs(target if is_folder else os.path.dirname(target), exist_ok=True)
            if not is_folder:
                os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        _mount(f"/proc/self/fd/{sources[path]}", target, None, _BIND | _RECURSIVE)
        if not writable and not path.startswith("/dev/"):
            _set_read_only(target)
    for path, aim in layout.links.items():
        target = root + path
        if not os.path.lexists(target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.symlink(aim, target)
    for name, aim in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        os.symlink(f"/proc/self/{aim}", f"{root}/dev/{name}")
    _add_terminals(root)


def _add_terminals(root: str) -> None:
    """Give it terminals of its own: nobody else's have a name here.

    A machine that refuses them is no less safe; what needs a terminal then says so itself.
    """
    os.makedirs(root + PSEUDO_TERMINALS)
    with contextlib.suppress(OSError):
        _mount(
            "devpts",
            root + PSEUDO_TERMINALS,
            "devpts",
            _NOSUID | _NOEXEC,
            "ptmxmode=0666,mode=0620",
        )
        os.symlink("pts/ptmx", f"{root}/dev/ptmx")


def _unshare() -> None:
    number = _CALLS[machine()].unshare
    try:
        syscall("unshare(mounts)", number, _NEW_MOUNTS)
    except PermissionError:
        user, group = os.geteuid(), os.getegid()
        syscall("unshare(user)", number, _NEW_USER | _NEW_MOUNTS)
        # Itself, and nobody else: files keep their owner, and no other identity can be taken.
        for name, content in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, content.encode())
            finally:
                os.close(descriptor)


def _mount(
    source: str | None, target: str, kind: str | None, flags: int, options: str | None = None
) -> None:
    texts = [_text(item) for item in (source, target, kind)]
    what = f"mount({target})"
    syscall(what, _CALLS[machine()].mount, *texts, flags, _text(options))


def _set_read_only(path: str) -> None:
    attributes = ctypes.create_string_buffer(struct.pack("=4Q", _READ_ONLY, 0, 0, 0), 32)
    number = _CALLS[machine()].set_attributes
    at_here = -100
    syscall("mount_setattr", number, at_here, _text(path), _AT_RECURSIVE, attributes, 32)


def _text(item: str | None) -> ctypes.Array[ctypes.c_char] | None:
    return ctypes.create_string_buffer(os.fsencode(item)) if item is not None else None
