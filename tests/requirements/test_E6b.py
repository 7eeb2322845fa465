"""E6b: the exception: stay on the platform that you use already, like Databricks."""

from __future__ import annotations

from plinth.domain.plan import Outcome
from plinth.planning.rules.explore import stays_where_it_is
from tests.planning.rules.placed import admitted, application, need, owning, place

SALES = {"sales": {"size": "50GB", "region": "northeurope"}}
KEPT = {"sales": {"size": "50GB", "region": "northeurope", "platform": "databricks-jobs"}}
EXPLORE = {"data": ["sales"]}


def test_who_owns_databricks_stays_there() -> None:
    there = owning(place("databricks-jobs"), "databricks-jobs", region="westeurope")
    said = stays_where_it_is(need(part="explore", explore={}), there)
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == "you own `our-databricks-jobs`: stay where you are"


def test_data_that_lies_on_what_is_owned_speaks_for_it_too() -> None:
    there = owning(place("databricks-jobs"), "databricks-jobs")
    said = stays_where_it_is(need(part="explore", explore=EXPLORE, data=KEPT), there)
    assert said is not None
    assert said.reason == "`sales` lies on `our-databricks-jobs`, which you own: stay there"


def test_data_that_lies_there_shows_that_it_is_in_use() -> None:
    said = stays_where_it_is(
        need(part="explore", explore=EXPLORE, data=KEPT), place("databricks-jobs")
    )
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "`sales` lies on it, so it is in use: stay there",
    )


def test_who_does_not_use_databricks_is_not_sent_there() -> None:
    whole = application("explore", explore=EXPLORE, data=SALES)
    said = stays_where_it_is(
        need(part="explore", explore=EXPLORE, data=SALES), place("databricks-jobs")
    )
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert "it suits those who use it already, and the inventory has none" in said.reason
    assert str(said.change) == "plinth inventory add databricks-jobs --region northeurope"
    assert admitted(stays_where_it_is, whole, place("databricks-jobs"), "explore")


def test_of_other_platforms_nothing_is_said() -> None:
    plain = need(part="explore", explore={})
    assert stays_where_it_is(plain, place("azureml-compute-instance")) is None
    owned = owning(place("azureml-compute-instance"), "databricks-jobs")
    assert stays_where_it_is(plain, owned) is None
