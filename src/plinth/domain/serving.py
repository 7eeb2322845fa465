"""What an endpoint's file says of its traffic: who serves how much, what else may be asked, limits.

The same values go to the gateway: `TrafficPolicy` is a part of the file and of the route.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from plinth.domain.base import Declared, Name, TeamName, is_stored
from plinth.domain.contradiction import Contradiction, Problem
from plinth.domain.document import Path
from plinth.domain.resources import Count, Seconds
from plinth.kit.excerpt import excerpt
from plinth.kit.units import parse_bytes

# What an endpoint's callers speak, and what stands behind it: the Open Inference Protocol V2, or
# OpenAI's, in its own form or in that of Azure.
Protocol: TypeAlias = Literal["open-inference", "openai", "azure-openai"]
MAIN = "main"
DEFAULT_RETRIES = 3
# What is held for the output of a request that does not say how much it wants.
DEFAULT_MAX_TOKENS = 1024
# The most that a body has, in bytes, where its model is read from it: at OpenAI's addresses.
MOST_OPENAI_BODY = 16 * 2**20
_SECRET = re.compile(r"secret:([a-z]([a-z0-9-]*[a-z0-9])?)")
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]")
_BASE_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")
_HEADER = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_API_VERSION = re.compile(r"[0-9a-z-]{1,40}")
_HEALTH_PATH = re.compile(r"/[A-Za-z0-9._~/-]{0,200}")
_KEY_ID = re.compile(r"[a-zA-Z0-9_-]{1,24}")
# Ours, Envoy's and the ones that carry keys: a header that testers send decides no identity.
_RESERVED_HEADERS = ("x-plinth-", "x-envoy-", "x-forwarded-", "authorization", "api-key", "cookie")
# They concern a connection (RFC 9110, 7.6.1; RFC 9113, 8.2.2), are made anew by the gateway, or
# carry a key: no route ever sees them as they were sent.
_NOT_SEEN = (
    *("connection", "keep-alive", "proxy-connection", "upgrade", "http2-settings", "host"),
    *("transfer-encoding", "te", "trailer", "content-length", "expect", "x-request-id"),
    *("proxy-authenticate", "proxy-authorization", "x-api-key"),
)
# What else a model's name may hold is encoded where it stands in a path; these mean another one.
_DOTS = (".", "..")
# What requests add to an address, by its protocol: people paste it from the provider's pages. Some
# addresses do end with `/models` or `/v2`.
_ADDED = {
    "openai": re.compile(r"/chat/completions$|(?<=/v1)/(?:completions|embeddings|responses)$"),
    "azure-openai": re.compile(r"/openai(?:/(?:deployments|v1)(?:/.*)?)?$"),
    "open-inference": re.compile(r"/v2/models(?:/.*)?$"),
}
_LIKE = "write it like `https://api.openai.com/v1`"
_WHOLE = 100


def _check_secret(value: str) -> str:
    if not _SECRET.fullmatch(value):
        # Whoever writes the key itself here must not find it in a log.
        raise ValueError(
            "a credential is named, not written down: `secret:NAME`, "
            "after `plinth secrets set NAME`"
        )
    return value


def _check_url(value: str, info: ValidationInfo) -> str:
    # `urlsplit` passes over tabs and ends of lines, which would stay in what is written to Envoy.
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(
            f"`{excerpt(value)}` is not an address: it holds a space or a character that is not "
            "printable ASCII"
        )
    try:
        parts = urlsplit(value)
    except ValueError as err:
        raise ValueError(f"`{excerpt(value)}` is not an address of a server; {_LIKE}") from err
    try:
        port = parts.port
    except ValueError as err:
        raise ValueError(
            f"`{excerpt(value)}` has a port that is no number from 1 to 65535"
        ) from err
    if port == 0 and not is_stored(info):
        raise ValueError(
            f"`{excerpt(value)}` has port 0, at which nothing answers; write one from 1 to 65535, "
            "or none for the usual one"
        )
    if "@" in parts.netloc:
        # Not repeated: it may be somebody's password.
        raise ValueError("the address holds a user or a password; name a secret as `credential`")
    why = _what_is_wrong(parts)
    if why:
        raise ValueError(f"`{excerpt(value)}` {why}; {_LIKE}")
    return value.rstrip("/")


def _what_is_wrong(parts: SplitResult) -> str | None:
    if parts.scheme not in ("https", "http"):
        return "is not an address of a server"
    if parts.query or parts.fragment:
        return "holds a question mark or a `#`"
    host = parts.netloc.rpartition(":")[0] if parts.port is not None else parts.netloc
    if not _HOST.fullmatch(host.removesuffix(":")):
        return "names no host"
    if not _BASE_PATH.fullmatch(parts.path) or ".." in parts.path.split("/"):
        return "has a path of other characters than letters, digits, `.`, `_`, `~` and `-`"
    return None


def _check_header(value: str, info: ValidationInfo) -> str:
    name = value.lower()
    if name in _NOT_SEEN and not is_stored(info):
        raise ValueError(
            f"`{excerpt(value)}` never reaches the gateway's choice as it was sent; write a header "
            "of your own, like `x-variant`"
        )
    if not _HEADER.fullmatch(name) or name.startswith(_RESERVED_HEADERS):
        raise ValueError(
            f"`{excerpt(value)}` is not a header that callers may choose by; write a name of "
            "letters, digits and `-` of your own, like `x-variant`"
        )
    return name


def _check_header_value(value: str, info: ValidationInfo) -> str:
    if not value or not value.isascii() or not value.isprintable():
        raise ValueError("the value of a header has printable ASCII characters, one at least")
    if value != value.strip() and not is_stored(info):
        raise ValueError(
            f"`{excerpt(value)}` begins or ends with a space, which no request keeps; write it "
            "without"
        )
    return value


def _check_once(value: Any, info: ValidationInfo) -> Any:
    """Refuse a header that stands twice: names of headers are alike in any case."""
    if isinstance(value, dict) and not is_stored(info):
        names = [name.lower() for name in value if isinstance(name, str)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"the header `{excerpt(twice[0])}` stands twice; names of headers are the same in "
                "capital letters, so write it once"
            )
    return value


def _check_api_version(value: str) -> str:
    if not _API_VERSION.fullmatch(value):
        raise ValueError(
            f"`{excerpt(value)}` is not a version of Azure's API; write it like `2024-10-21` or "
            "`2025-01-01-preview`: digits, lower-case letters and `-`, at most 40"
        )
    return value


def _check_health_path(value: str) -> str:
    if not _HEALTH_PATH.fullmatch(value):
        raise ValueError(
            f"`{excerpt(value)}` is not a path to ask; write it like `/health`: it begins with "
            "`/`, and letters, digits, `/`, `.`, `_`, `~` and `-` follow, at most 200"
        )
    return value


def _check_key_id(value: str) -> str:
    if not _KEY_ID.fullmatch(value):
        # Whoever writes the key itself here must not find it in a log.
        raise ValueError(
            "a key is named by its id, like `k_7xq2m4ab`, as `plinth keys list` shows it: letters, "
            "digits, `_` and `-`, at most 24"
        )
    return value


Percent = Annotated[
    float, Field(gt=0, le=_WHOLE, allow_inf_nan=False, title="percent, above 0 and up to 100")
]
Weight = Annotated[Count, Field(ge=0, le=_WHOLE, title="whole percent, 0 to 100")]
# Envoy holds a body that it sends again or reads the model from.
BodySize = Annotated[
    int,
    BeforeValidator(parse_bytes),
    Field(gt=0, le=2**30, title="size, like `512kB` or `10MB`"),
]
SecretReference = Annotated[str, AfterValidator(_check_secret), Field(title="`secret:NAME`")]
HeaderName = Annotated[str, AfterValidator(_check_header)]
HeaderValue = Annotated[str, AfterValidator(_check_header_value), Field(max_length=200)]
Headers = Annotated[dict[HeaderName, HeaderValue], BeforeValidator(_check_once)]
PerMinute = Annotated[Count, Field(ge=1, le=1_000_000_000)]
ApiVersion = Annotated[str, AfterValidator(_check_api_version)]
HealthPath = Annotated[str, AfterValidator(_check_health_path)]
KeyId = Annotated[str, AfterValidator(_check_key_id)]


class External(Declared):
    """A model that somebody else serves. The caller's key never reaches it; `credential` does."""

    url: Annotated[str, AfterValidator(_check_url)] = Field(
        description="Where its API begins: `https://api.openai.com/v1`; for `azure-openai` the "
        "resource, `https://NAME.openai.azure.com`; for `open-inference` what stands before `/v2`."
    )
    protocol: Protocol = Field(description="What it speaks.")
    model: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        default=None,
        description="The model's name there (Azure: the deployment's); without it, the "
        "endpoint's own name.",
    )
    api_version: ApiVersion | None = Field(
        default=None, description="Azure's `api-version`; without it, 2024-10-21."
    )
    credential: SecretReference | None = Field(
        default=None,
        description="The secret that holds its key, of the endpoint's team: `secret:NAME`.",
    )
    region: str | None = Field(default=None, max_length=60, description="Where it is processed.")

    @model_validator(mode="after")
    def _model_leads_nowhere_else(self, info: ValidationInfo) -> External:
        """Refuse a model's name that would lead to another path, where it stands in the path."""
        if self.model in _DOTS and self.protocol != "openai" and not is_stored(info):
            words = (
                f"`{self.model}` is no name of a model there: it stands in the path, where `.` and "
                "`..` lead elsewhere; write the name that the provider shows"
            )
            raise Contradiction((("model",), words))
        return self

    @model_validator(mode="after")
    def _url_ends_where_requests_go_on(self, info: ValidationInfo) -> External:
        """Refuse an address that holds what is added to it."""
        added = _ADDED[self.protocol].search(urlsplit(self.url).path)
        if added and not (is_stored(info) and added[0] != "/openai"):
            words = (
                f"`url` ends with `{excerpt(added[0])}`, which is added; write what is before it: "
                f"`{excerpt(self.url.removesuffix(added[0]))}`"
            )
            raise Contradiction((("url",), words))
        return self

    @model_validator(mode="after")
    def _only_azure_has_versions(self) -> External:
        if self.api_version is not None and self.protocol != "azure-openai":
            raise Contradiction(
                (("api_version",), "`api_version` is only of `protocol: azure-openai`")
            )
        return self

    @property
    def secret(self) -> str | None:
        """The name of the secret."""
        return self.credential.partition(":")[2] if self.credential else None


class Capacity(Declared):
    """Provisioned first, pay-as-you-go for what does not fit: within the same request."""

    base: Name = Field(description="The deployment that is asked first.")
    burst: Name = Field(description="The deployment that gets what the base does not take.")
    concurrency: Annotated[Count, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="How many requests the base has at once; more spill."
    )
    requests_per_minute: PerMinute | None = Field(
        default=None,
        description="How many requests the base gets in a minute; more spill. They are a bucket "
        "that begins full and fills steadily, so the first minute may have twice as many.",
    )


class Limit(Declared):
    """A limit of requests or tokens a minute: of one team or key, of each of them, or of all."""

    team: TeamName | None = Field(default=None, description="Only this team.")
    key: KeyId | None = Field(
        default=None, description="Only the key with this id, as `plinth keys list` shows it."
    )
    each: Literal["team", "key"] | None = Field(
        default=None, description="Every team, or every key, by itself."
    )
    requests_per_minute: PerMinute | None = Field(default=None, description="Requests a minute.")
    tokens_per_minute: PerMinute | None = Field(
        default=None, description="Input and output tokens in any 60 seconds."
    )
    default_max_tokens: PerMinute = Field(
        default=DEFAULT_MAX_TOKENS,
        description="What is held for the output of a request that does not say `max_tokens`.",
    )

    @model_validator(mode="after")
    def _says_whom_and_what(self) -> Limit:
        given = [name for name in ("team", "key", "each") if getattr(self, name) is not None]
        if len(given) > 1:
            words = "give one of `team`, `key` and `each`, or none of them for everybody"
            raise Contradiction(((given[-1],), words))
        if self.requests_per_minute is None and self.tokens_per_minute is None:
            raise ValueError("give `requests_per_minute`, `tokens_per_minute` or both")
        return self


class Timeouts(Declared):
    """How long callers and servers are waited for."""

    request: Seconds | None = Field(
        default=None,
        description="For the whole answer; without it 60 s, and for streams no end.",
    )
    attempt: Seconds | None = Field(
        default=None, description="For one attempt; the next deployment or replica is asked then."
    )
    idle: Seconds = Field(default=300.0, description="Between two pieces of an answer.")


class Health(Declared):
    """How it is seen that an external deployment answers again."""

    path: HealthPath = Field(description="A path that answers 200 while it is well, without a key.")
    interval: Seconds = Field(default=10.0, description="Between two questions.")


class TrafficPolicy(Declared):
    """Who serves which share, who sees copies, who is asked when one does not answer.

    Names are those of `deployments`. At most one of `traffic`, `failover` and `capacity`.
    """

    traffic: dict[Name, Weight] = Field(
        default_factory=dict,
        title="mapping of a deployment to whole percent",
        description="Shares of the requests, 100 together: `{blue: 90, green: 10}`. A deployment "
        "that is not ready yet has none.",
    )
    mirror: dict[Name, Percent] = Field(
        default_factory=dict,
        title="mapping of a deployment to percent",
        description="Copies of the requests: the caller never waits for or sees their answers.",
    )
    match: dict[Name, Headers] = Field(
        default_factory=dict,
        title="mapping of a deployment to headers and their values",
        description="Requests with all of these headers go there: `green: {x-variant: green}`.",
    )
    failover: tuple[Name, ...] = Field(
        default=(),
        description="Deployments in the order in which they are asked, until one answers.",
    )
    capacity: Capacity | None = Field(
        default=None, description="Provisioned base and pay-as-you-go burst."
    )
    limits: tuple[Limit, ...] = Field(
        default=(), max_length=100, description="Requests and tokens a minute."
    )
    timeouts: Timeouts = Field(default=Timeouts(), description="How long is waited.")
    retries: Annotated[Count, Field(ge=0, le=10)] = Field(
        default=DEFAULT_RETRIES,
        description="How often a request that no deployment answered is sent again.",
    )
    max_body: BodySize = Field(
        default=4 * 2**20,
        description="The largest body of a request; at most 1 GiB, and 16 MiB at the "
        "addresses of OpenAI and Azure.",
    )
    health: Health | None = Field(
        default=None, description="How external deployments are asked whether they are well."
    )

    def policy_problems(
        self, deployments: Collection[str], *, accepted_before: bool = False
    ) -> list[Problem]:
        """Return what contradicts itself, given the names of the endpoint's deployments.

        `accepted_before`: it comes from the store, so what an earlier Plinth accepted passes.
        """
        ways = self._ways()
        found: list[Problem] = []
        if len(ways) > 1:
            found.append(((ways[-1],), f"give only one of {', '.join(f'`{way}`' for way in ways)}"))
        for path, name in self._named():
            if name not in deployments:
                known = ", ".join(f"`{each}`" for each in deployments)
                found.append((path, f"`{path[0]}` names `{name}`; there are {known}"))
        if self.traffic and sum(self.traffic.values()) != _WHOLE:
            words = f"`traffic` sums to {sum(self.traffic.values())}; 100 is needed"
            found.append((("traffic",), words))
        found += [
            (("failover", place), "`failover` names a deployment twice")
            for place, name in enumerate(self.failover)
            if name in self.failover[:place]
        ]
        if self.capacity is not None and self.capacity.base == self.capacity.burst:
            words = "`capacity` has the same deployment as base and burst"
            found.append((("capacity", "burst"), words))
        if not ways and len(deployments) > 1:
            words = "several deployments need `traffic`, `failover` or `capacity`"
            found.append((("deployments",), words))
        empty = [name for name, headers in self.match.items() if not headers]
        found += [(("match", name), f"`match` of `{name}` names no header") for name in empty]
        return found if accepted_before else found + self._matched_twice()

    def _matched_twice(self) -> list[Problem]:
        found: list[Problem] = []
        before: dict[frozenset[tuple[str, str]], str] = {}
        for name, headers in self.match.items():
            other = before.setdefault(frozenset(headers.items()), name)
            if headers and other != name:
                words = (
                    f"`match` of `{name}` has the headers and values of `{other}`, which gets all "
                    "such requests; give each of them others"
                )
                found.append((("match", name), words))
        return found

    def policy_warnings(self, deployments: Collection[str]) -> list[str]:
        """Return what is allowed and probably not meant, given the endpoint's deployments."""
        found = [*self._unused(deployments), *self._mirrored_to_itself(deployments)]
        for number, limit in enumerate(self.limits):
            found += _limit_warnings(f"limits[{number}]", limit)
        request, attempt = self.timeouts.request, self.timeouts.attempt
        if request is not None and attempt is not None and attempt > request:
            found.append(
                f"`timeouts.attempt` of {attempt:g} s ends no attempt: `timeouts.request` ends the "
                f"whole request after {request:g} s; write less than that"
            )
        return found

    def _unused(self, deployments: Collection[str]) -> list[str]:
        """Say which deployments get nothing. A share of 0 is meant: it is how one goes back."""
        ways, named = self._ways(), {name for _, name in self._named()}
        if not ways:
            return []
        return [
            f"deployment `{name}` gets no request: neither `{ways[0]}` nor `match` nor `mirror` "
            "names it"
            for name in deployments
            if name not in named
        ]

    def _mirrored_to_itself(self, deployments: Collection[str]) -> list[str]:
        serving = {name for name, share in self.traffic.items() if share} | {*self.failover}
        if self.capacity is not None:
            serving |= {self.capacity.base, self.capacity.burst}
        serving = serving or {*deployments}
        if len(serving) > 1:
            return []
        return [
            f"`mirror` sends `{name}` copies of requests that it answers anyway, and both are paid "
            "for; name another deployment"
            for name in self.mirror
            if name in serving
        ]

    def _ways(self) -> list[str]:
        return [name for name in ("traffic", "failover", "capacity") if getattr(self, name)]

    def _named(self) -> list[tuple[Path, str]]:
        """Return each name of a deployment with where it stands."""
        found: list[tuple[Path, str]] = [
            ((field, name), name)
            for field in ("traffic", "mirror", "match")
            for name in getattr(self, field)
        ]
        found += [(("failover", place), name) for place, name in enumerate(self.failover)]
        if self.capacity is not None:
            found.append((("capacity", "base"), self.capacity.base))
            found.append((("capacity", "burst"), self.capacity.burst))
        return found


def _limit_warnings(where: str, limit: Limit) -> list[str]:
    most, held = limit.tokens_per_minute, limit.default_max_tokens
    if most is None and held != DEFAULT_MAX_TOKENS:
        return [
            f"`{where}.default_max_tokens` is {held:,} and changes nothing: the limit has no "
            "`tokens_per_minute`"
        ]
    if most is not None and most <= held:
        return [
            f"`{where}`: a request without `max_tokens` is always refused: it holds `default_max_"
            f"tokens`, {held:,}, and its input, of {most:,} `tokens_per_minute`; write a smaller "
            "`default_max_tokens`"
        ]
    return []


__all__ = [
    "DEFAULT_MAX_TOKENS",
    "MAIN",
    "MOST_OPENAI_BODY",
    "Capacity",
    "External",
    "Health",
    "Limit",
    "Protocol",
    "Timeouts",
    "TrafficPolicy",
]
