"""API keys: `plk_` and a signed token that says who, not what they may do.

The identity service mints them; Envoy and the control plane each verify them by themselves.
A key holds a principal, the team that is charged, its own id (to be revoked by) and an end. A
run's key names its principal as `run` instead of `sub`, by which Envoy tells runs from others: one
more claim would not fit into 255 characters. A browser's key, which nobody types, names the page
that it counts on as `h`.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import BadSignatureError, JoseError

from plinth.access.keyring import Keyring
from plinth.kit.errors import Unauthenticated
from plinth.kit.excerpt import excerpt

PREFIX = "plk_"
# Many tools keep a key in a field of 255 characters.
LONGEST_KEY = 255
# A browser's key stands in a cookie.
LONGEST_BROWSER_KEY = 400
CLOCK_SKEW_S = 10
PRINCIPAL_CLAIM = "sub"
RUN_CLAIM = "run"
PAGE_CLAIM = "h"
_CLAIMS = frozenset({"t", "jti", "exp"})
_ALGORITHM = "ES256"
_HINT = "ask the operator of your team for a new key: `plinth keys create`"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a key says: `key_id` names the key itself; `expires_at` has whole seconds.

    `page`: where a browser's key counts (domain/web_page.py); None: it is no browser's.
    """

    principal: str
    team: str
    key_id: str
    expires_at: datetime
    is_run: bool = False
    page: str | None = None

    @property
    def most_characters(self) -> int:
        """How long the key may be."""
        return LONGEST_KEY if self.page is None else LONGEST_BROWSER_KEY


def mint(keyring: Keyring, claims: Claims) -> str:
    """Sign a key. Raises ValueError when it would be too long."""
    signer = keyring.current
    token = jwt.encode(
        {"alg": _ALGORITHM, "kid": signer.kid},
        {
            RUN_CLAIM if claims.is_run else PRINCIPAL_CLAIM: claims.principal,
            "t": claims.team,
            "jti": claims.key_id,
            "exp": int(claims.expires_at.timestamp()),
            **({PAGE_CLAIM: claims.page} if claims.page is not None else {}),
        },
        signer.key,
        algorithms=[_ALGORITHM],
        default_type=None,
    )
    if len(PREFIX) + len(token) > claims.most_characters:
        raise ValueError(
            f"a key for `{claims.principal}` of `{claims.team}` has {len(PREFIX) + len(token)} "
            f"characters; at most {claims.most_characters} are allowed"
        )
    return PREFIX + token


def verify(keyring: Keyring, token: str, now: datetime) -> Claims:
    """Return what the key says if one of our signing keys signed it and it has not expired.

    Whether it was revoked stands in the store. Raises Unauthenticated with the code
    `key_malformed`, `key_unknown_signer`, `key_forged` or `key_expired`.
    """
    kid = _kid_of(token)
    signer = keyring.find(kid)
    if signer is None:
        fact = f"the key was signed by `{excerpt(kid)}`, which is no longer valid"
        raise _refusal(fact, "unknown_signer")
    try:
        payload = jws.deserialize_compact(
            token.removeprefix(PREFIX), signer.key, algorithms=[_ALGORITHM]
        ).payload
    except BadSignatureError as err:
        raise _refusal("the key's signature does not fit its content", "forged") from err
    except (JoseError, ValueError) as err:
        raise _malformed() from err
    claims = _claims_of(payload)
    if now > claims.expires_at + timedelta(seconds=CLOCK_SKEW_S):
        raise _refusal(f"the key expired at {claims.expires_at:%Y-%m-%d %H:%M:%S} UTC", "expired")
    return claims


def _kid_of(token: str) -> str:
    """Read the signer's name from the header, which nobody has verified yet."""
    if not token.startswith(PREFIX) or len(token) > LONGEST_BROWSER_KEY:
        raise _malformed()
    head = token.removeprefix(PREFIX).partition(".")[0]
    try:
        header: Any = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
        return str(header["kid"])
    except (binascii.Error, ValueError, KeyError, TypeError) as err:
        raise _malformed() from err


def _claims_of(payload: bytes) -> Claims:
    try:
        value: Any = json.loads(payload)
        is_run = RUN_CLAIM in value
        if set(value) - {PAGE_CLAIM} != {RUN_CLAIM if is_run else PRINCIPAL_CLAIM, *_CLAIMS}:
            # An audience, another principal, a later begin: not from us, and not to be passed over.
            raise _malformed()
        principal = value[RUN_CLAIM if is_run else PRINCIPAL_CLAIM]
        team, key_id, page = value["t"], value["jti"], value.get(PAGE_CLAIM)
        expires_at = datetime.fromtimestamp(value["exp"], UTC)
    except (ValueError, KeyError, TypeError, OverflowError, OSError) as err:
        raise _malformed() from err
    names = (principal, team, key_id, *([page] if PAGE_CLAIM in value else []))
    if not all(isinstance(name, str) and name for name in names):
        raise _malformed()
    return Claims(principal, team, key_id, expires_at, is_run, page)


def _malformed() -> Unauthenticated:
    return _refusal(f"this is not a key of Plinth; keys start with `{PREFIX}`", "malformed")


def _refusal(message: str, reason: str) -> Unauthenticated:
    return Unauthenticated(message, hint=_HINT, code=f"key_{reason}")
