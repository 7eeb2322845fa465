"""The HTTP face, with a model of plain lists in the place of MLflow."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from plinth.runtimes.v2server.app import Application, Limits
from plinth.runtimes.v2server.batcher import Feed
from plinth.runtimes.v2server.signature import check_inputs, merge_key
from plinth.runtimes.v2server.tensors import Declared, InferRequest, Tensor, stack


class Adder:
    """Adds one to the column `x`; raises for 13."""

    platform = "list"

    def __init__(self, example: bytes | None = b"{}") -> None:
        self.inputs = {"x": Declared("x", "INT64", (-1,), column=True)}
        self.outputs = [Declared("y", "INT64", (-1,))]
        self._example = example

    def feed(self, request: InferRequest) -> Feed:
        tensors, rows = check_inputs(request.inputs, self.inputs)
        return Feed(merge_key(tensors, self.inputs), rows, tensors)

    def predict(self, feed: Feed) -> dict[str, list[int]]:
        values = feed.payload["x"].values
        if 13 in values:
            raise ValueError("thirteen")
        return {"y": [value + 1 for value in values]}

    def merge(self, feeds: Sequence[Feed]) -> Feed:
        return Feed(feeds[0].key, 0, {"x": stack([feed.payload["x"] for feed in feeds])})

    def split(self, answer: dict[str, list[int]], feeds: Sequence[Feed]) -> list[Any]:
        rest = iter(answer["y"])
        return [{"y": [next(rest) for _ in range(feed.rows)]} for feed in feeds]

    def names(self, answer: dict[str, list[int]]) -> list[str]:
        return list(answer)

    def write(
        self, answer: dict[str, list[int]], wanted: Sequence[tuple[str, bool]]
    ) -> list[Tensor]:
        return [Tensor(name, "INT64", (len(answer[name]),), answer[name]) for name, _ in wanted]

    def example(self) -> bytes:
        if self._example is None:
            raise LookupError("no example")
        return self._example


def _request(*values: Any, **more: Any) -> bytes:
    tensor = {"name": "x", "shape": [len(values)], "datatype": "INT64", "data": list(values)}
    return json.dumps({"inputs": [tensor], **more}).encode()


def _call(
    method: str,
    path: str,
    content: Any = None,
    *,
    headers: dict[str, str] | None = None,
    model: Adder | None = None,
    loaded: bool = True,
) -> httpx.Response:
    async def go() -> httpx.Response:
        with ThreadPoolExecutor(1) as executor:
            app = Application("m", "3", executor, Limits(body_bytes=2000))
            if loaded:
                app.serve(model or Adder())
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://m") as client:
                return await client.request(method, path, content=content, headers=headers)

    return asyncio.run(go())


def test_infer_answers_with_the_id_and_the_model() -> None:
    answer = _call("POST", "/v2/models/m/infer", _request(1, 2, id="q", parameters={"any": 1}))
    assert answer.status_code == 200
    assert answer.json() == {
        "model_name": "m",
        "model_version": "3",
        "id": "q",
        "outputs": [{"name": "y", "shape": [2], "datatype": "INT64", "data": [2, 3]}],
    }


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2", 200),
        ("/v2/", 200),
        ("/v2/health/live", 200),
        ("/v2/health/ready", 200),
        ("/v2/models/m", 200),
        ("/v2/models/m/versions/3", 200),
        ("/v2/models/m/versions/3/ready", 200),
        ("/v2/models/m/ready", 200),
        ("/v2/models/m/example", 200),
        ("/metrics", 200),
        ("/v2/models/other", 404),
        ("/v2/models/m/versions/4", 404),
        ("/v2/models/m/versions", 404),
        ("/v2/models/m/config", 404),
        ("/v2/models/", 404),
        ("/v3", 404),
        ("/", 404),
        ("/v2/models/m/infer", 405),
    ],
)
def test_every_path_answers_in_the_protocols_shape(path: str, status: int) -> None:
    answer = _call("GET", path)
    assert answer.status_code == status
    if status >= 400:
        assert set(answer.json()) == {"error"}


def test_a_loading_model_is_alive_and_not_ready() -> None:
    assert _call("GET", "/v2/health/live", loaded=False).status_code == 200
    assert _call("GET", "/v2/health/ready", loaded=False).status_code == 503
    assert _call("GET", "/v2/models/m/ready", loaded=False).status_code == 503
    answer = _call("POST", "/v2/models/m/infer", _request(1), loaded=False)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    # By this the gateway knows that it may ask another replica.
    assert answer.headers["x-plinth-not-loaded"] == "1"


def test_a_model_without_example_says_so() -> None:
    answer = _call("GET", "/v2/models/m/example", model=Adder(example=None))
    assert (answer.status_code, answer.json()) == (404, {"error": "no example"})


def test_a_model_that_raises_is_500_with_its_words() -> None:
    answer = _call("POST", "/v2/models/m/infer", _request(13))
    assert answer.status_code == 500
    assert answer.json() == {"error": "the model failed: ValueError: thirteen"}


def test_outputs_are_selected_and_unknown_ones_refused() -> None:
    good = _call("POST", "/v2/models/m/infer", _request(1, outputs=[{"name": "y"}]))
    assert good.status_code == 200
    bad = _call("POST", "/v2/models/m/infer", _request(1, outputs=[{"name": "z"}]))
    assert (bad.status_code, bad.json()) == (
        400,
        {"error": "unknown output `z`; the model has `y`"},
    )


def test_a_large_body_is_413_with_and_without_a_length() -> None:
    large = _request(*range(1000))

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 500):
            yield large[start : start + 500]

    assert _call("POST", "/v2/models/m/infer", large).status_code == 413
    assert _call("POST", "/v2/models/m/infer", chunks()).status_code == 413


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_compressed_bodies_are_read_within_the_limit(encoding: str, pack: Any) -> None:
    headers = {"content-encoding": encoding}
    good = _call("POST", "/v2/models/m/infer", pack(_request(1)), headers=headers)
    assert good.status_code == 200
    bomb = pack(b" " * 1_000_000)
    assert _call("POST", "/v2/models/m/infer", bomb, headers=headers).status_code == 413
    broken = _call("POST", "/v2/models/m/infer", pack(_request(1))[:-6], headers=headers)
    assert broken.status_code == 400


def test_an_unknown_encoding_is_415() -> None:
    headers = {"content-encoding": "br"}
    answer = _call("POST", "/v2/models/m/infer", _request(1), headers=headers)
    assert answer.status_code == 415
    assert "accepted: gzip, deflate, identity" in answer.json()["error"]


def test_a_wrong_header_length_is_400() -> None:
    for value in ("x", "-1", "99999"):
        headers = {"inference-header-content-length": value}
        answer = _call("POST", "/v2/models/m/infer", _request(1), headers=headers)
        assert answer.status_code == 400


def test_metrics_count_requests_by_code_and_rows() -> None:
    async def go() -> str:
        with ThreadPoolExecutor(1) as executor:
            app = Application("m", "3", executor)
            app.serve(Adder())
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://m") as client:
                await client.post("/v2/models/m/infer", content=_request(1, 2, 3))
                await client.post("/v2/models/m/infer", content=b"{")
                return (await client.get("/metrics")).text

    text = asyncio.run(go())
    assert 'plinth_infer_requests_total{model="m",version="3",code="200"} 1' in text
    assert 'plinth_infer_requests_total{model="m",version="3",code="400"} 1' in text
    assert 'plinth_infer_rows_total{model="m",version="3"} 3' in text
    assert 'plinth_infer_in_flight{model="m",version="3"} 0' in text
    assert 'plinth_infer_duration_seconds_bucket{model="m",version="3",le="+Inf"} 2' in text
    assert 'plinth_infer_duration_seconds_count{model="m",version="3"} 2' in text
