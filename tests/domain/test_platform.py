from decimal import Decimal

from plinth.domain.platform import Capability, Offer, Platform


def test_what_is_not_stated_is_unknown_and_not_no():
    capability = Capability(functions=("train",))
    facts = (capability.isolation, capability.scale_to_zero, capability.interruptible)
    assert (*facts, capability.networks) == (None, None, None, None)
    offer = Offer(sku="small", region="local", cpu=1, memory=1)
    assert (offer.price_per_hour, offer.count) == (None, None)


def test_a_platform_survives_json_with_its_prices_exact():
    offer = Offer(sku="a", region="b", cpu=0.1, memory=2**40, price_per_hour=Decimal("0.1000"))
    platform = Platform(
        name="a",
        description="b",
        capability=Capability(functions=("train",), isolation=2),
        offers=(offer,),
        source="c",
    )
    again = Platform.model_validate_json(platform.model_dump_json())
    assert again == platform
    assert str(again.offers[0].price_per_hour) == "0.1000"
