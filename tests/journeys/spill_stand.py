"""Servers that a test tells what to answer, as hosted and external deployments behind a gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from plinth.domain.serving import External, TrafficPolicy
from plinth.domain.traffic import Deployment, EndpointRoute, Upstream
from plinth.gateway import credentials
from plinth.gateway.log_line import read_line
from tests.conformance.upstream_stand import Behaviour, Server, echo, serving
from tests.journeys.gateway_stand import Answer, Gateway, eventually, running_gateway

ENDPOINT = "chat"
_COUNTS = ("ms", "code", "rx", "tx", "attempts", "first_ms")
CHAT = "/v1/chat/completions"
BODY = b'{"model": "chat", "messages": [{"role": "user", "content": "hi"}]}'


@dataclass
class Stand:
    """A gateway and the servers behind it, by name."""

    gateway: Gateway
    stack: ExitStack
    servers: dict[str, Server] = field(default_factory=dict)

    def hosted(self, name: str, behaviour: Behaviour = echo) -> Deployment:
        """Have a deployment of ours; asked again for it, the same one with another behaviour."""
        path = self.gateway.root / "run" / f"{name}.sock"
        self._serve(name, behaviour, path=path)
        return Deployment(id=f"r_{name}", name=name, upstreams=(Upstream(socket=str(path)),))

    def external(self, name: str, behaviour: Behaviour = echo, **more: Any) -> Deployment:
        """Have a deployment elsewhere, on a loopback port; `more` goes into what the file says."""
        server = self._serve(name, behaviour)
        fields = {"protocol": "openai", "url": f"http://127.0.0.1:{server.port}/v1", **more}
        return Deployment(id=f"{ENDPOINT}.{name}", name=name, external=External(**fields))

    def _serve(self, name: str, behaviour: Behaviour, **more: Any) -> Server:
        if name not in self.servers:
            self.servers[name] = self.stack.enter_context(serving(behaviour, **more))
        server = self.servers[name]
        server.behaviour = behaviour
        server.seen.clear()
        return server

    def apply(
        self,
        *deployments: Deployment,
        keys: dict[str, bytes] | None = None,
        private: bool = True,
        **policy: Any,
    ) -> None:
        """Have the endpoint `chat` of these deployments, with this traffic."""
        route = EndpointRoute(
            name=ENDPOINT,
            team="ops",
            protocol="openai",
            deployments=deployments,
            policy=TrafficPolicy(**policy),
            callers=("p_ann",),
        )
        place = self.gateway.root / "credentials"
        credentials.write(place, keys or {})
        self.gateway.apply(
            endpoints=(route,), credentials=str(place), allow_private_upstreams=private
        )

    def ask(self, body: bytes = BODY, path: str = CHAT, **headers: str) -> Answer:
        """Ask the endpoint as Ann does; `x_y="z"` is the header `x-y: z`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"content-type": "application/json", **named}
        return self.gateway.ask(path, self.gateway.key(), method="POST", body=body, headers=sent)

    def line(self, answer: Answer, log: str = "access.log") -> dict[str, Any]:
        """Return the line that the log has of this request."""
        wanted = answer.headers["x-plinth-id"]
        found: list[dict[str, Any]] = []

        def is_written() -> bool:
            found[:] = [each for each in self.lines(log) if each["id"] == wanted]
            return bool(found)

        assert eventually(is_written), self.lines(log)
        (only,) = found
        return only

    def lines(self, log: str = "access.log") -> list[dict[str, Any]]:
        """Return the whole lines of a log so far, by field; counts are numbers."""
        path = self.gateway.root / log
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1].split(b"\n")
        found = [dict(read_line(each)) for each in whole if each]
        for each in found:
            each |= {name: int(each[name]) for name in _COUNTS if each[name] is not None}
        return found


@contextmanager
def running_stand(port: Callable[[], int], *, workers: int = 1) -> Iterator[Stand]:
    """Run a gateway until the block ends."""
    with running_gateway(port(), workers=workers) as gateway, ExitStack() as stack:
        yield Stand(gateway, stack)
