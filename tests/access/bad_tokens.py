"""Keys that nobody may accept, each with the reason it is bad: for the control plane and Envoy."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey

from plinth.access import tokens
from plinth.access.keyring import Keyring
from plinth.access.tokens import CLOCK_SKEW_S, Claims


@dataclass(frozen=True)
class Maker:
    """Makes bad keys out of a good one, `claims` signed by `ring`."""

    ring: Keyring
    claims: Claims

    @property
    def good(self) -> str:
        return tokens.mint(self.ring, self.claims)

    @property
    def payload(self) -> dict[str, Any]:
        return _decoded(self.good.removeprefix("plk_").split(".")[1])

    def signed(self, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """Sign other claims with our own key: None takes one away."""
        body = {k: v for k, v in {**self.payload, **claims}.items() if v is not None}
        head = {"alg": "ES256", "kid": self.ring.current.kid, **(header or {})}
        return "plk_" + jwt.encode(head, body, self.ring.current.key)

    def with_header(self, header: Mapping[str, Any]) -> str:
        _, body, signature = self.good.removeprefix("plk_").split(".")
        return f"plk_{encoded(header)}.{body}.{signature}"

    def sealed(self, secret: bytes, header: Mapping[str, Any]) -> str:
        """Sign as HS256 with `secret`."""
        content = f"{encoded(header)}.{encoded(self.payload)}"
        seal = hmac.digest(secret, content.encode(), "sha256")
        return f"plk_{content}.{_text(seal)}"

    def by_stranger(self, **header: Any) -> str:
        """Sign with another key than ours, under our name if no other is given."""
        stranger = ECKey.generate_key("P-256", private=True)
        head = {"alg": "ES256", "kid": self.ring.current.kid, **header}
        return "plk_" + jwt.encode(head, self.payload, stranger)

    def changed(self, **claims: Any) -> str:
        """Change the claims and keep the signature."""
        head, _, signature = self.good.removeprefix("plk_").split(".")
        return f"plk_{head}.{encoded({**self.payload, **claims})}.{signature}"


def encoded(value: Any) -> str:
    return _text(json.dumps(value, separators=(",", ":")).encode())


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decoded(text: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def _expired(make: Maker) -> str:
    ended = make.claims.expires_at - timedelta(hours=1, seconds=CLOCK_SKEW_S + 2)
    return tokens.mint(make.ring, replace(make.claims, expires_at=ended))


def _embedded_key(make: Maker) -> str:
    stranger = ECKey.generate_key("P-256", private=True)
    head = {"alg": "ES256", "jwk": stranger.as_dict(private=False)}
    return "plk_" + jwt.encode(head, make.payload, stranger)


def _pem(make: Maker) -> bytes:
    return make.ring.current.key.as_pem(private=False)


def _parts(make: Maker) -> list[str]:
    return make.good.removeprefix("plk_").split(".")


# `claims` of a Maker end an hour from now. Envoy's own checks differ in nothing that is here.
BAD: Mapping[str, Callable[[Maker], str]] = {
    "alg none, no signature": lambda m: (
        f"plk_{encoded({'alg': 'none', 'kid': m.ring.current.kid})}.{_parts(m)[1]}."
    ),
    "alg none, signature kept": lambda m: m.with_header({"alg": "none", "kid": m.ring.current.kid}),
    "alg None in another case": lambda m: m.with_header({"alg": "nOnE", "kid": m.ring.current.kid}),
    "alg HS256 with our public key as the secret": lambda m: m.sealed(
        _pem(m), {"alg": "HS256", "kid": m.ring.current.kid}
    ),
    "alg HS256 with an empty secret": lambda m: m.sealed(
        b"", {"alg": "HS256", "kid": m.ring.current.kid}
    ),
    "alg of another curve": lambda m: m.with_header({"alg": "ES384", "kid": m.ring.current.kid}),
    "no alg": lambda m: m.with_header({"kid": m.ring.current.kid}),
    "another's key under our kid": lambda m: m.by_stranger(),
    "another's key under a kid of its own": lambda m: m.by_stranger(kid="zz99"),
    "a key of its own in the header": _embedded_key,
    "kid is a path": lambda m: m.by_stranger(kid="../../secrets/signing/x"),
    "kid is an address": lambda m: m.by_stranger(kid="http://127.0.0.1/jwks.json"),
    "kid is SQL": lambda m: m.by_stranger(kid="x' or '1'='1"),
    "kid is empty": lambda m: m.by_stranger(kid=""),
    "jku points to another's keys": lambda m: m.by_stranger(jku="http://127.0.0.1:1/jwks.json"),
    "x5u points to another's certificate": lambda m: m.by_stranger(x5u="http://127.0.0.1:1/x"),
    "expired beyond the skew": _expired,
    "not valid yet": lambda m: m.signed(nbf=int(m.claims.expires_at.timestamp())),
    "no end": lambda m: m.signed(exp=None),
    "an end that is no number": lambda m: m.signed(exp="never"),
    "principal changed": lambda m: m.changed(sub="admin"),
    "team changed": lambda m: m.changed(t="other"),
    "end changed": lambda m: m.changed(exp=4102444800),
    "signature cut": lambda m: m.good[:-8],
    "no signature": lambda m: f"plk_{_parts(m)[0]}.{_parts(m)[1]}.",
    "two dots too few": lambda m: f"plk_{_parts(m)[0]}",
    "one part too many": lambda m: f"{m.good}.{_parts(m)[2]}",
    "not base64": lambda m: "plk_%%%.%%%.%%%",
    "JSON that is no object": lambda m: f"plk_{encoded([1])}.{encoded([2])}.{_parts(m)[2]}",
    "prefix missing": lambda m: m.good.removeprefix("plk_"),
    "prefix of another case": lambda m: "PLK_" + m.good.removeprefix("plk_"),
    "very long": lambda m: m.good + "A" * 20_000,
}
# Only whoever has our signing key could make these; the control plane refuses them all the same.
ODD: Mapping[str, Callable[[Maker], str]] = {
    "wrong audience": lambda m: m.signed(aud="https://elsewhere.example"),
    "wrong issuer": lambda m: m.signed(iss="https://elsewhere.example"),
    "no principal": lambda m: m.signed(sub=None),
    "no id": lambda m: m.signed(jti=None),
    "no team": lambda m: m.signed(t=None),
    "a user and a run at once": lambda m: m.signed(run="p_someone"),
}
