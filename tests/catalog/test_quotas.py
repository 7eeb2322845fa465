"""Quotas that were stated; all others are unknown."""

from __future__ import annotations

from plinth.catalog.catalog import Catalog
from plinth.catalog.quotas import QuotaKind
from tests.catalog.imported import catalog_with


def test_a_stated_quota_is_found_however_its_series_is_spelled() -> None:
    quotas = catalog_with(
        "quotas", "quota,of,region,limit,used", "cpu,Dsv5,westeurope,100,40", "cpu,,uksouth,8,9"
    ).quotas
    quota = quotas.find(QuotaKind.CPU, "westeurope", "dsv5")
    assert quota is not None
    assert (quota.limit, quota.used, quota.left) == (100, 40, 60)
    over = quotas.find(QuotaKind.CPU, "uksouth")
    assert over is not None
    assert over.left == 0


def test_what_is_used_may_be_unknown() -> None:
    quotas = catalog_with("quotas", "quota,of,region,limit", "accelerators,A100,eastus,0").quotas
    quota = quotas.find(QuotaKind.ACCELERATORS, "eastus", "A100")
    assert quota is not None
    assert (quota.limit, quota.left) == (0, None)


def test_what_nobody_stated_is_unknown() -> None:
    assert Catalog().quotas.find(QuotaKind.CPU, "westeurope") is None
