from plinth.planning.context import Context


def test_without_a_policy_every_region_is_allowed_and_prices_are_in_euros():
    assert Context() == Context(allowed_regions=(), currency="EUR")
