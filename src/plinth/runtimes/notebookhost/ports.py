"""The TCP ports of kernels, from a range: all others are refused to this process."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from jupyter_client.connect import LocalPortCache


class RangedPorts(LocalPortCache):  # type: ignore[misc]  # it comes untyped
    """Give ports of the range only, each once until it is given back."""

    range: Sequence[int] = ()

    def find_available_port(self, ip: str) -> int:
        """Return a port that nobody listens on. Raises OSError when all are taken."""
        for port in self.range:
            if port in self.currently_used_ports:
                continue
            with socket.socket() as tried:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\0" * 8)
                try:
                    tried.bind((ip, port))
                except OSError:
                    continue
            self.currently_used_ports.add(port)
            return port
        raise OSError(f"all {len(self.range)} ports of this workspace's kernels are in use")


def take_from(ports: Sequence[int]) -> None:
    """Have every kernel that is started from now on listen on these ports."""
    RangedPorts.range = ports
    RangedPorts.instance()
