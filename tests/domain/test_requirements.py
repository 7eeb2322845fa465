import pytest
from pydantic import ValidationError

from plinth.domain.requirements import Requirements


def test_nothing_is_required_unless_it_is_written():
    empty = Requirements()
    assert (empty.platform, empty.regions, empty.isolation) == (None, (), None)
    assert not empty.interruptible
    assert not empty.scale_to_zero


@pytest.mark.parametrize("level", [-1, 5, True, 1.5, "high"])
def test_a_level_of_isolation_is_a_whole_number_from_0_to_4(level):
    with pytest.raises(ValidationError, match="isolation"):
        Requirements.model_validate({"isolation": level})


def test_a_budget_above_all_money_is_refused():
    with pytest.raises(ValidationError, match="less than or equal to 1000000000000"):
        Requirements.model_validate({"budget": {"amount": "1e40", "currency": "EUR"}})
    most = {"budget": {"amount": "1e12", "currency": "EUR"}}
    assert Requirements.model_validate(most).budget is not None


def test_a_budget_without_a_currency_says_how_it_is_written() -> None:
    with pytest.raises(ValidationError, match="has no currency; write it like `3000 EUR`"):
        Requirements.model_validate({"budget": 3000})
