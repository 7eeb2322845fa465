"""A link becomes a browser's key once; the key is short, listed and revoked like any other."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from plinth.access.tokens import PREFIX
from plinth.control.sign_in import (
    BROWSER_LABEL,
    LINK_S,
    Refusal,
    SignedIn,
    end_sign_in,
    make_link,
    use_link,
)
from plinth.domain.access import Actor, PrincipalKind
from plinth.kit.errors import Denied
from plinth.store.identities import (
    add_key,
    end_membership,
    find_key,
    list_revoked,
    load_actor,
    revoke_key,
)
from tests.control.plane import TEAM, Plane
from tests.store.rows import principal_in


def key_of(plane: Plane, *, hours: float = 100, label: str = "laptop") -> tuple[Actor, str]:
    """Return somebody of the team with a key."""
    now = plane.clock.now()
    with plane.write() as connection:
        holder = plane.actor().principal
        expires_at = now + timedelta(hours=hours)
        key = add_key(connection, principal=holder, label=label, expires_at=expires_at, now=now)
        actor = load_actor(connection, holder.id, key.id)
    assert actor is not None
    return actor, key.id


def code_for(plane: Plane, actor: Actor, key_id: str) -> str:
    with plane.write() as connection:
        link = make_link(connection, plane.context, actor, key_id, "mlflow")
    assert link.expires_at == plane.clock.now() + timedelta(seconds=LINK_S)
    parts = urlsplit(link.url)
    assert (parts.scheme, parts.netloc, parts.path) == ("http", "mlflow.localhost:1", "/sign-in")
    return parse_qs(parts.query)["code"][0]


def use(plane: Plane, code: str, page: str = "mlflow") -> SignedIn | Refusal:
    with plane.write() as connection:
        return use_link(connection, plane.context, code, page)


def signed_in(plane: Plane, **key: float) -> SignedIn:
    outcome = use(plane, code_for(plane, *key_of(plane, **key)))
    assert isinstance(outcome, SignedIn)
    return outcome


def test_a_link_makes_one_browser_the_holder_of_the_key(plane: Plane) -> None:
    actor, key_id = key_of(plane)
    code = code_for(plane, actor, key_id)
    browser = use(plane, code)
    assert isinstance(browser, SignedIn)
    assert browser.actor == actor
    assert browser.key.label == BROWSER_LABEL
    claims = plane.context.claims_of(PREFIX + browser.cookie)
    assert claims is not None
    assert (claims.principal, claims.key_id) == (actor.principal.id, browser.key.id)
    assert claims.page == "mlflow"
    assert use(plane, code) is Refusal.USED


def test_a_link_signs_in_on_its_own_page_only(plane: Plane) -> None:
    code = code_for(plane, *key_of(plane))
    assert use(plane, code, "console") is Refusal.UNKNOWN
    assert isinstance(use(plane, code), SignedIn)
    assert use(plane, code, "ann-ws") is Refusal.UNKNOWN


def test_the_code_is_stored_nowhere(plane: Plane) -> None:
    code = code_for(plane, *key_of(plane))
    with plane.database.read() as connection:
        assert code not in str(connection.exec_driver_sql("select * from sign_in").all())
    database = plane.home.database
    files = [database, *database.parent.glob(f"{database.name}*")]
    assert not any(code.encode() in path.read_bytes() for path in files)


def test_the_browser_s_key_lasts_the_hours_of_the_setting_and_no_longer_than_its_parent(
    plane: Plane,
) -> None:
    hours = timedelta(hours=plane.context.settings.sign_in_hours)
    assert signed_in(plane).key.expires_at == plane.clock.now() + hours
    short = signed_in(plane, hours=1)
    assert short.key.expires_at == plane.clock.now() + timedelta(hours=1)


@pytest.mark.parametrize("code", ["", "x", "a" * 10_000, "\x00", "é"])
def test_a_code_that_was_never_made_signs_nobody_in(plane: Plane, code: str) -> None:
    assert use(plane, code) is Refusal.UNKNOWN


def test_a_link_expires(plane: Plane) -> None:
    code = code_for(plane, *key_of(plane))
    plane.clock.advance(LINK_S)
    assert use(plane, code) is Refusal.EXPIRED


def test_a_link_is_worth_nothing_once_its_key_or_its_holder_is_gone(plane: Plane) -> None:
    actor, key_id = key_of(plane)
    code = code_for(plane, actor, key_id)
    with plane.write() as connection:
        revoke_key(connection, key_id, plane.clock.now())
    assert use(plane, code) is Refusal.REVOKED
    actor, key_id = key_of(plane, hours=0.001)
    code = code_for(plane, actor, key_id)
    plane.clock.advance(10)
    assert use(plane, code) is Refusal.REVOKED
    with plane.write() as connection:
        holder = principal_in(connection, TEAM).model_copy(update={"kind": PrincipalKind.USER})
        key = add_key(
            connection,
            principal=holder,
            label="x",
            expires_at=plane.clock.now() + timedelta(hours=9),
            now=plane.clock.now(),
        )
        link = make_link(
            connection, plane.context, Actor(principal=holder, grants=()), key.id, "mlflow"
        )
        end_membership(connection, holder.id, plane.clock.now())
    assert use(plane, link.url.partition("code=")[2]) is Refusal.REVOKED


def test_with_the_key_the_browser_is_out_too(plane: Plane) -> None:
    actor, key_id = key_of(plane)
    browser = use(plane, code_for(plane, actor, key_id))
    assert isinstance(browser, SignedIn)
    with plane.write() as connection:
        revoke_key(connection, key_id, plane.clock.now())
        assert browser.key.id in list_revoked(connection, plane.clock.now())


def test_no_run_and_no_browser_signs_a_browser_in(plane: Plane) -> None:
    now = plane.clock.now()
    with plane.write() as connection:
        run = principal_in(connection, TEAM)
        key = add_key(
            connection, principal=run, label="x", expires_at=now + timedelta(hours=1), now=now
        )
        with pytest.raises(Denied, match="a run's"):
            make_link(connection, plane.context, Actor(principal=run, grants=()), key.id, "mlflow")
    browser = signed_in(plane)
    with plane.write() as connection, pytest.raises(Denied, match="a browser's"):
        make_link(connection, plane.context, browser.actor, browser.key.id, "mlflow")


def test_signing_out_revokes_the_browser_s_key_and_no_other(plane: Plane) -> None:
    browser = signed_in(plane)
    admin = plane.home.admin_token.read_text()
    with plane.write() as connection:
        for cookie in ("", "nonsense", admin.removeprefix(PREFIX)):
            assert end_sign_in(connection, plane.context, cookie, "mlflow") is None
        ended = end_sign_in(connection, plane.context, browser.cookie, "mlflow")
        assert ended is not None
        assert ended.key.id == browser.key.id
        assert find_key(connection, browser.key.id).revoked_at == plane.clock.now()
        assert end_sign_in(connection, plane.context, browser.cookie, "mlflow") is None
    assert plane.actor()
