"""Azure's services by region."""

from __future__ import annotations

import pytest

from plinth.catalog.services import load_services
from plinth.kit.errors import Invalid
from tests.catalog.imported import catalog_with

SERVICES = load_services()


def test_a_service_is_offered_where_the_table_says_so() -> None:
    assert SERVICES.offered("azure machine learning", "swedencentral") is True
    assert SERVICES.offered("Machine Learning Studio", "swedencentral") is False


def test_east_us_is_unknown_and_can_be_imported() -> None:
    assert SERVICES.availability("Azure Machine Learning", "eastus") == (None, None)
    services = catalog_with(
        "availability", "service,region,offered", "Azure Machine Learning,eastus,yes"
    ).services
    offered, source = services.availability("Azure Machine Learning", "eastus")
    assert offered is True
    assert source is not None
    assert source.is_override


def test_a_mistaken_service_gets_the_nearest_one() -> None:
    with pytest.raises(Invalid, match="did you mean `Azure Databricks`"):
        SERVICES.offered("Azure Databriks", "westeurope")
