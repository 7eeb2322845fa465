import pytest
from pydantic import ValidationError

from plinth.domain.serving import Capacity, External, Health, Limit, TrafficPolicy

OPENAI = "https://api.openai.com/v1"
BOTH = {"blue": None, "green": None}


def refused(kind, **fields):
    with pytest.raises(ValidationError) as caught:
        kind(**fields)
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        (OPENAI, OPENAI),
        ("https://api.openai.com/v1/", OPENAI),
        ("https://ours.openai.azure.com", "https://ours.openai.azure.com"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("https://[::1]:8443", "https://[::1]:8443"),
    ],
)
def test_an_external_model_has_an_address(url, kept):
    assert External(url=url, protocol="openai").url == kept


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("api.openai.com/v1", "is not an address of a server"),
        ("ftp://api.openai.com", "is not an address of a server"),
        ("file:///etc/passwd", "is not an address of a server"),
        ("https://", "names no host"),
        ("https:///v1", "names no host"),
        ("https://user:word@host/v1", "the address holds a user or a password"),
        ("https://host/v1?key=1", "holds a question mark"),
        ("https://host/v1#a", "holds a question mark or a `#`"),
        ("https://host/a b", "it holds a space"),
        ("https://host/%2e%2e/admin", "has a path of other characters"),
        ("https://host/../admin", "has a path of other characters"),
        ("https://host:port/v1", "is not an address"),
        ("https://ho_ st/v1", "it holds a space"),
        ("https://-host/v1", "names no host"),
        ("https://host\n/v1", "not printable ASCII"),
    ],
)
def test_what_is_no_address_is_refused_with_an_example(url, why):
    with pytest.raises(ValidationError, match=why):
        External(url=url, protocol="openai")


def test_a_credential_is_named_and_one_that_is_written_down_is_not_repeated():
    assert External(url=OPENAI, protocol="openai", credential="secret:openai-key").secret == (
        "openai-key"
    )
    assert External(url=OPENAI, protocol="openai").secret is None
    with pytest.raises(ValidationError) as caught:
        External(url=OPENAI, protocol="openai", credential="sk-live-123")
    (error,) = caught.value.errors(include_input=False)
    assert "`secret:NAME`" in error["msg"]
    assert "sk-live" not in error["msg"]


def test_only_azure_has_versions_of_its_api():
    External(url="https://a.b", protocol="azure-openai", api_version="2024-10-21")
    assert "is only of" in refused(External, url=OPENAI, protocol="openai", api_version="v1")


def test_a_limit_says_whom_and_what():
    Limit(team="research", tokens_per_minute=10_000)
    Limit(each="key", requests_per_minute=60)
    Limit(requests_per_minute=60)
    assert "give one of" in refused(Limit, team="ops", each="key", requests_per_minute=1)
    assert "give `requests_per_minute`" in refused(Limit, team="ops")
    assert "greater than or equal to 1" in refused(Limit, tokens_per_minute=0)
    assert "is not a number" in refused(Limit, tokens_per_minute=True)


@pytest.mark.parametrize(
    "policy",
    [
        {"traffic": {"blue": 90, "green": 10}},
        {"traffic": {"blue": 100}, "mirror": {"green": 0.5}},
        {"failover": ("blue", "green")},
        {"capacity": Capacity(base="blue", burst="green", concurrency=8)},
        {"traffic": {"blue": 100}, "match": {"green": {"X-Variant": "green"}}},
    ],
)
def test_a_policy_names_deployments(policy):
    assert TrafficPolicy(**policy).policy_problems(BOTH) == []


@pytest.mark.parametrize(
    ("policy", "path", "why"),
    [
        ({}, ("deployments",), "several deployments need `traffic`, `failover` or `capacity`"),
        ({"traffic": {"blue": 90}}, ("traffic",), "`traffic` sums to 90; 100 is needed"),
        (
            {"traffic": {"blue": 90, "red": 10}},
            ("traffic", "red"),
            "`traffic` names `red`; there are `blue`, `green`",
        ),
        (
            {"failover": ("blue", "red")},
            ("failover", 1),
            "`failover` names `red`; there are `blue`, `green`",
        ),
        ({"failover": ("blue", "blue")}, ("failover", 1), "`failover` names a deployment twice"),
        (
            {"traffic": {"blue": 100}, "failover": ("blue", "green")},
            ("failover",),
            "give only one of `traffic`, `failover`",
        ),
        (
            {"capacity": Capacity(base="blue", burst="blue")},
            ("capacity", "burst"),
            "`capacity` has the same deployment as base and burst",
        ),
        (
            {"capacity": Capacity(base="red", burst="blue")},
            ("capacity", "base"),
            "`capacity` names `red`; there are `blue`, `green`",
        ),
        (
            {"traffic": {"blue": 100}, "match": {"green": {}}},
            ("match", "green"),
            "`match` of `green` names no header",
        ),
    ],
)
def test_a_policy_that_contradicts_itself_says_how_and_where(policy, path, why):
    assert (path, why) in TrafficPolicy(**policy).policy_problems(BOTH)


def test_a_deployment_that_gets_no_request_is_warned_of():
    said = "deployment `green` gets no request: neither `failover` nor `match` nor `mirror` names"
    (warning,) = TrafficPolicy(failover=("blue",)).policy_warnings(BOTH)
    assert warning.startswith(said)
    for policy in (
        {"failover": ("blue", "green")},
        {"failover": ("blue",), "mirror": {"green": 5}},
        {"failover": ("blue",), "match": {"green": {"x-a": "b"}}},
        # How one goes back.
        {"traffic": {"blue": 100, "green": 0}},
        {"capacity": Capacity(base="blue", burst="green")},
    ):
        assert TrafficPolicy(**policy).policy_warnings(BOTH) == []
    assert len(TrafficPolicy(traffic={"blue": 100}).policy_warnings(BOTH)) == 1
    assert TrafficPolicy().policy_warnings(["main"]) == []


@pytest.mark.parametrize(
    ("kind", "fields", "value", "wanted"),
    [
        (
            External,
            {"url": OPENAI, "protocol": "azure-openai", "api_version": "2024/10"},
            "`2024/10`",
            "write it like `2024-10-21`",
        ),
        (Health, {"path": "health check"}, "`health check`", "write it like `/health`"),
        (Health, {"path": "https://x/y"}, "`https://x/y`", "write it like `/health`"),
    ],
)
def test_a_value_of_another_form_is_said_with_the_form_that_is_accepted(
    kind, fields, value, wanted
):
    said = refused(kind, **fields)
    assert value in said
    assert wanted in said


def test_a_key_that_is_written_where_its_id_belongs_is_not_repeated():
    # Pydantic adds the value to its own text; ours is what people are shown.
    with pytest.raises(ValidationError) as caught:
        Limit(key="plk_secret.word", requests_per_minute=1)
    (error,) = caught.value.errors()
    assert "by its id, like `k_7xq2m4ab`" in error["msg"]
    assert "plk_secret" not in error["msg"]


@pytest.mark.parametrize(
    "headers",
    [
        {"x-plinth-team": "ops"},
        {"authorization": "a"},
        {":path": "/"},
        {"x variant": "a"},
        {"x-variant": "a\nb"},
        {"x-variant": ""},
        {"x-variant": "ü"},
    ],
)
def test_testers_choose_by_headers_of_their_own(headers):
    with pytest.raises(ValidationError, match="header"):
        TrafficPolicy(match={"green": headers})


@pytest.mark.parametrize("percent", [0, -1, 101, float("nan"), float("inf")])
def test_a_mirror_has_a_share(percent):
    with pytest.raises(ValidationError):
        TrafficPolicy(mirror={"green": percent})


def test_bodies_retries_and_times_have_ends():
    policy = TrafficPolicy(max_body="10MB", retries=0, timeouts={"request": "2m"})
    assert (policy.max_body, policy.timeouts.request) == (10_000_000, 120.0)
    for field, value in (("max_body", "2GiB"), ("retries", 11), ("timeouts", {"idle": 0})):
        with pytest.raises(ValidationError):
            TrafficPolicy(**{field: value})


def test_a_password_in_an_address_is_not_repeated():
    with pytest.raises(ValidationError) as caught:
        External(url="https://user:hunter2@host/v1", protocol="openai")
    (error,) = caught.value.errors(include_input=False)
    assert "hunter2" not in error["msg"]


def test_what_azure_addresses_have_anyway_is_not_written_twice():
    why = refused(External, url="https://a.openai.azure.com/openai", protocol="azure-openai")
    assert "`url` ends with `/openai`" in why
