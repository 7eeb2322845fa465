import pytest
from pydantic import ValidationError

from plinth.domain.base import STORED
from plinth.domain.serving import Capacity, External, Health, Limit, Timeouts, TrafficPolicy

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
        ("https://host:port/v1", "has a port that is no number from 1 to 65535"),
        ("https://host:99999/v1", "has a port that is no number from 1 to 65535"),
        ("https://[::1", "is not an address of a server"),
        ("https://ho_ st/v1", "it holds a space"),
        ("https://-host/v1", "names no host"),
        ("https://host\n/v1", "not printable ASCII"),
        (
            "http://127.0.0.1:0/v1",
            "has port 0, at which nothing answers; write one from 1 to 65535",
        ),
    ],
)
def test_what_is_no_address_is_refused_with_an_example(url, why):
    with pytest.raises(ValidationError, match=why):
        External(url=url, protocol="openai")


def test_a_header_of_match_stands_there_once_in_any_case():
    with pytest.raises(ValidationError, match="the header `x-v` stands twice"):
        TrafficPolicy(match={"green": {"x-v": "a", "X-V": "b"}})
    stored = TrafficPolicy.model_validate(
        {"match": {"a": {"x-v": "a", "X-V": "b"}}}, context=STORED
    )
    assert stored.match == {"a": {"x-v": "b"}}


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
        (
            {
                "traffic": {"blue": 100},
                "match": {"green": {"x-a": "1"}, "blue": {"X-A": "1"}},
            },
            ("match", "blue"),
            "`match` of `blue` has the headers and values of `green`, which gets all such "
            "requests; give each of them others",
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
        {"x-variant": " a"},
        {"x-variant": "a "},
        {"Host": "a"},
        {"connection": "close"},
        {"transfer-encoding": "chunked"},
        {"te": "trailers"},
        {"content-length": "1"},
        {"x-request-id": "a"},
        {"x-api-key": "a"},
    ],
)
def test_testers_choose_by_headers_of_their_own(headers):
    with pytest.raises(ValidationError, match=r"header|begins or ends with a space"):
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


@pytest.mark.parametrize(
    ("protocol", "base", "added"),
    [
        ("openai", "https://api.openai.com/v1", "/chat/completions"),
        ("openai", "https://a.services.ai.azure.com/models", "/chat/completions"),
        ("openai", "https://a/embeddings/v1", "/embeddings/"),
        ("azure-openai", "https://a.openai.azure.com", "/openai/deployments/gpt/chat/completions"),
        ("azure-openai", "https://a.openai.azure.com", "/openai/v1/"),
        ("openai", "http://embeddings", "/chat/completions"),
        ("open-inference", "https://a/serving/v2", "/v2/models"),
        ("open-inference", "http://v2", "/v2/models/churn/infer"),
        ("azure-openai", "https://openai", "/openai/v1"),
    ],
)
def test_what_requests_add_to_an_address_is_not_part_of_it(
    protocol: str, base: str, added: str
) -> None:
    with pytest.raises(ValidationError) as error:
        External(url=base + added, protocol=protocol)
    why = error.value.errors()[0]["msg"]
    assert f"ends with `{added.rstrip('/')}`, which is added" in why
    assert f"; write what is before it: `{base}`" in why
    assert External.model_validate({"url": base, "protocol": protocol}).url == base
    stored = {"url": base + added, "protocol": protocol}
    assert External.model_validate(stored, context=STORED).url == (base + added).rstrip("/")


@pytest.mark.parametrize("model", [".", ".."])
@pytest.mark.parametrize("protocol", ["azure-openai", "open-inference"])
def test_a_model_that_leads_to_another_path_is_refused(model, protocol):
    why = refused(External, url="https://a.b", protocol=protocol, model=model)
    assert f"`{model}` is no name of a model there: it stands in the path" in why
    assert External(url=OPENAI, protocol="openai", model=model).model == model


@pytest.mark.parametrize("model", ["my gpt/4", "a?b#c", "gpt-4.1..x", "..."])
def test_any_other_name_of_a_model_is_encoded(model):
    External(url="https://a.b", protocol="azure-openai", model=model)


def test_what_an_earlier_plinth_accepted_is_still_read_from_the_store():
    old = {"url": "http://h:0/v1", "protocol": "azure-openai", "model": ".."}
    assert External.model_validate(old, context=STORED).url == "http://h:0/v1"
    match = {"green": {"host": "x", "x-a": " a "}, "blue": {"host": "x", "x-a": " a "}}
    policy = TrafficPolicy.model_validate(
        {"traffic": {"blue": 100}, "match": match}, context=STORED
    )
    assert policy.match["green"] == {"host": "x", "x-a": " a "}
    assert policy.policy_problems(BOTH, accepted_before=True) == []
    assert len(policy.policy_problems(BOTH)) == 1


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ({"tokens_per_minute": 500}, "`limits[0]`: a request without `max_tokens` is always"),
        ({"tokens_per_minute": 1024}, "is always refused: it holds `default_max_tokens`, 1,024"),
        ({"tokens_per_minute": 100, "default_max_tokens": 5000}, "of 100 `tokens_per_minute`"),
        (
            {"requests_per_minute": 5, "default_max_tokens": 10},
            "`limits[0].default_max_tokens` is 10 and changes nothing",
        ),
        ({"requests_per_minute": 5}, None),
        ({"tokens_per_minute": 2000}, None),
        ({"tokens_per_minute": 500, "default_max_tokens": 100}, None),
    ],
)
def test_a_limit_that_does_what_nobody_means_is_warned_of(limit, said):
    warnings = TrafficPolicy(limits=(Limit(**limit),)).policy_warnings(["main"])
    assert len(warnings) == (said is not None)
    assert said is None or said in warnings[0]


@pytest.mark.parametrize(
    ("timeouts", "count"),
    [
        ({"request": 1, "attempt": 10}, 1),
        ({"request": 10, "attempt": 10}, 0),
        ({"attempt": 100}, 0),
    ],
)
def test_an_attempt_that_may_take_longer_than_the_request_is_warned_of(timeouts, count):
    warnings = TrafficPolicy(timeouts=Timeouts(**timeouts)).policy_warnings(["main"])
    assert len(warnings) == count
    for each in warnings:
        assert each.startswith("`timeouts.attempt` of 10 s ends no attempt")


@pytest.mark.parametrize(
    ("policy", "count"),
    [
        ({"traffic": {"blue": 100, "green": 0}, "mirror": {"blue": 10}}, 1),
        ({"failover": ("blue",), "mirror": {"blue": 10, "green": 5}}, 1),
        ({"traffic": {"blue": 100}, "mirror": {"green": 10}}, 0),
        ({"traffic": {"blue": 50, "green": 50}, "mirror": {"green": 10}}, 0),
    ],
)
def test_a_mirror_of_the_only_server_to_itself_is_warned_of(policy, count):
    warnings = TrafficPolicy(**policy).policy_warnings(BOTH)
    assert len(warnings) == count
    for each in warnings:
        assert each.startswith("`mirror` sends `blue` copies of requests that it answers anyway")
    assert len(TrafficPolicy(mirror={"main": 5}).policy_warnings(["main"])) == 1
