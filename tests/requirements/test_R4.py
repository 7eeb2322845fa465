"""R4: know quotas and limits: what is left against what the peak needs, with an alarm at 80 %."""

from __future__ import annotations

from plinth.domain.need import needs_of
from plinth.domain.plan import Outcome, Verdict
from plinth.planning.rules.quota import quotas_suffice
from tests.catalog.imported import catalog_with
from tests.planning.rules.placed import application, place

# Four machines of four cores.
SERVED = application(online={"replicas": 4})


def asked(*rows: str, count: int = 4) -> Verdict:
    catalog = catalog_with("quotas", "quota,of,region,limit,used", *rows)
    said = quotas_suffice(needs_of(SERVED)[0], place("aks", count=count, catalog=catalog))
    assert said is not None
    return said


def test_a_quota_with_room_is_accepted_with_its_headroom() -> None:
    said = asked("cpu,Dsv5,westeurope,100,20")
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "needs 16 cores, 80 of 100 are left (Dsv5); 64% stay free",
    )


def test_from_80_percent_on_it_warns() -> None:
    below = asked("cpu,Dsv5,westeurope,100,63")
    at = asked("cpu,Dsv5,westeurope,100,64")
    assert (below.outcome, at.outcome) == (Outcome.OK, Outcome.OK)
    assert "ask for more" not in below.reason
    assert at.reason.endswith("; only 20% stay free: ask for more before the peak")


def test_a_quota_that_is_too_small_is_rejected_with_what_fits() -> None:
    said = asked("cpu,Dsv5,westeurope,100,88")
    assert (said.outcome, said.reason) == (
        Outcome.NOT_OK,
        "needs 16 cores, 12 of 100 are left (Dsv5)",
    )
    assert said.remedy == "`online.replicas: 3`"
    assert asked("cpu,Dsv5,westeurope,100,88", count=3).outcome is Outcome.OK


def test_tokens_of_a_hosted_model_are_compared_with_the_busiest_minute() -> None:
    whole = application(
        online={
            "model": "gpt-4o",
            "demand": {"requests_per_second": 10, "input_tokens": 500, "output_tokens": 100},
        }
    )
    rows = ("tokens-per-minute,gpt-4o,westeurope,450000,0",)
    catalog = catalog_with("quotas", "quota,of,region,limit,used", *rows)
    at = place("azure-openai-standard", model="gpt-4o", cpu=0, memory=0, catalog=catalog)
    said = quotas_suffice(needs_of(whole)[0], at)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == "needs 1,080,000 tokens a minute, 450,000 of 450,000 are left (gpt-4o)"


def test_what_nobody_stated_is_unknown_and_not_unlimited() -> None:
    said = quotas_suffice(needs_of(SERVED)[0], place("aks", count=4))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.UNKNOWN,
        "no quota is stated for `westeurope`; `plinth catalog import` states it",
    )
    assert quotas_suffice(needs_of(SERVED)[0], place("local", "local")) is None
