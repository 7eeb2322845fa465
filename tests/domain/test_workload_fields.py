import pytest

from plinth.domain.workload_fields import ModelName, parse_data, parse_model


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("models:/flights-delay@champion", ModelName(name="flights-delay", alias="champion")),
        ("models:/Flights_2.x/12", ModelName(name="Flights_2.x", version=12)),
    ],
)
def test_a_model_reference_is_taken_apart(reference, parts):
    assert parse_model(reference) == parts


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "flights",
        "models:/",
        "models:/a",
        "models:/a/b",
        "models:/a@1",
        "models:/a@b/1",
        "models:/../a/1",
        "models:/a/١",
        "models:/a/9999999999",
        "runs:/a/1",
        "models:/a/1\n",
    ],
)
def test_what_is_no_model_reference_is_refused(reference):
    with pytest.raises(ValueError, match="is not a model; write"):
        parse_model(reference)


@pytest.mark.parametrize(
    ("reference", "parts"),
    [("flights@3", ("flights", 3)), ("flights@latest", ("flights", None)), ("f", ("f", None))],
)
def test_a_data_reference_is_taken_apart(reference, parts):
    assert parse_data(reference) == parts


@pytest.mark.parametrize("reference", ["", "@3", "a@", "a@b", "A@1", "a@1@2", "../a@1", "a@-1"])
def test_what_is_no_data_reference_is_refused(reference):
    with pytest.raises(ValueError, match="is not a data version; write"):
        parse_data(reference)
