"""The model server in a real environment: MLflow models, a Unix socket, the official client.

Needs a package index the first time (about 430 MB); the environment is kept between runs below
PLINTH_TEST_CACHE, by default `~/.cache/plinth-tests`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uv

from plinth.environments import BuiltEnvironment, Environments, EnvironmentSpec, this_python
from plinth.kit.files import locked
from plinth.kit.ids import digest_of
from plinth.runtimes.runtime import load_runtimes
from tests.journeys.package_index import build_or_skip

_RUNTIME = load_runtimes()["v2server"]
_PACKAGES = (
    *_RUNTIME.packages,
    *("mlflow-skinny==3.17.2", "scikit-learn", "pandas", "numpy", "tritonclient[http]"),
)
_MODELS = Path(__file__).with_name("v2server_models.py")
_CLIENT = Path(__file__).with_name("v2server_client.py")
_START_S = 90.0


def _variables(**more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", **more}


@pytest.fixture(scope="session")
def cache() -> Path:
    return Path(os.environ.get("PLINTH_TEST_CACHE") or Path.home() / ".cache" / "plinth-tests")


@pytest.fixture(scope="session")
def environment(cache: Path) -> BuiltEnvironment:
    environments = Environments(cache / "environments", uv.find_uv_bin())
    return build_or_skip(environments, EnvironmentSpec(_PACKAGES, this_python()))


@pytest.fixture(scope="session")
def models(cache: Path, environment: BuiltEnvironment) -> Path:
    """Return the folder of the saved models; saved once for each script and environment."""
    folder = cache / "models" / digest_of(_MODELS.read_bytes() + environment.digest.encode())[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_suffix(".lock")):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            subprocess.run(
                [environment.python, str(_MODELS), str(folder)],
                check=True,
                capture_output=True,
                env=_variables(),
            )
    return folder


@dataclass
class Server:
    """A running model server on a Unix socket that it got as file descriptor 3."""

    process: subprocess.Popen[bytes]
    socket_path: str
    log_path: Path
    name: str
    folder: Path
    clients: list[httpx.Client] = field(default_factory=list)

    @property
    def client(self) -> httpx.Client:
        """Return a new client of the socket."""
        transport = httpx.HTTPTransport(uds=self.socket_path)
        client = httpx.Client(transport=transport, base_url="http://model", timeout=30)
        self.clients.append(client)
        return client

    def log(self) -> str:
        return self.log_path.read_text()

    def wait_ready(self) -> Server:
        deadline = time.monotonic() + _START_S
        with httpx.Client(
            transport=httpx.HTTPTransport(uds=self.socket_path), base_url="http://model"
        ) as client:
            while time.monotonic() < deadline:
                assert self.process.poll() is None, self.log()
                if client.get("/v2/health/ready", timeout=30).status_code == 200:
                    return self
                time.sleep(0.05)
        raise AssertionError(f"not ready after {_START_S} s: {self.log()}")

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder)


Start = Callable[..., Server]


def _start(environment: BuiltEnvironment, model: Path, name: str, *more: str) -> Server:
    folder = Path(tempfile.mkdtemp(prefix="pl-"))
    place: dict[str, Any] = {"python": environment.python, "model": model}
    place |= {"name": name, "version": "7"}
    with socket.socket(socket.AF_UNIX) as listener, (folder / "log").open("wb") as log:
        listener.bind(str(folder / "s"))
        listener.listen(128)
        process = subprocess.Popen(
            [*_RUNTIME.command_for(**place), *more],
            env=_variables(**_RUNTIME.variables_for(**place)),
            cwd=folder,
            stdout=log,
            stderr=log,
            pass_fds=(3,) if listener.fileno() == 3 else (3, listener.fileno()),
            preexec_fn=lambda: os.dup2(listener.fileno(), 3),  # noqa: PLW1509 - one thread here
        )
    return Server(process, str(folder / "s"), folder / "log", name, folder)


@pytest.fixture
def start(environment: BuiltEnvironment, models: Path) -> Iterator[Start]:
    servers: list[Server] = []

    def begin(model: str, *more: str) -> Server:
        servers.append(_start(environment, models / model, model, *more))
        return servers[-1]

    yield begin
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def columns(environment: BuiltEnvironment, models: Path) -> Iterator[Server]:
    server = _start(environment, models / "columns", "columns").wait_ready()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def types(environment: BuiltEnvironment, models: Path) -> Iterator[Server]:
    server = _start(environment, models / "types", "types").wait_ready()
    yield server
    server.stop()


def _tensor(name: str, datatype: str, *values: Any, shape: list[int] | None = None) -> Any:
    return {
        "name": name,
        "datatype": datatype,
        "shape": shape or [len(values)],
        "data": list(values),
    }


def _flight(
    changed: dict[str, Any] | None = None,
    *,
    distance: float = 500.0,
    hour: int = 9,
    carrier: str = "AA",
) -> Any:
    inputs = {
        "distance": _tensor("distance", "FP64", distance),
        "hour": _tensor("hour", "INT64", hour),
        "carrier": _tensor("carrier", "BYTES", carrier),
        "temp": _tensor("temp", "FP64", 0.5),
        **(changed or {}),
    }
    return {"inputs": [tensor for tensor in inputs.values() if tensor is not None]}


def _infer(server: Server, document: Any, client: httpx.Client | None = None) -> httpx.Response:
    return (client or server.client).post(f"/v2/models/{server.name}/infer", json=document)


def _same(answer: Any, expected: Any) -> bool:
    if isinstance(answer, float) and isinstance(expected, float):
        return answer == pytest.approx(expected, rel=1e-9)
    if isinstance(answer, list) and isinstance(expected, list):
        return len(answer) == len(expected) and all(map(_same, answer, expected))
    if isinstance(answer, dict) and isinstance(expected, dict):
        return answer.keys() == expected.keys() and all(
            _same(answer[k], expected[k]) for k in answer
        )
    return bool(answer == expected)


def test_metadata_tells_the_signature(columns: Server) -> None:
    document = columns.client.get("/v2/models/columns/versions/7").json()
    assert (document["name"], document["versions"]) == ("columns", ["7"])
    described = {item["name"]: item["datatype"] for item in document["inputs"]}
    assert described == {"distance": "FP64", "hour": "INT64", "carrier": "BYTES", "temp": "FP64"}
    assert document["inputs"][3]["parameters"] == {"nullable": True, "optional": True}


@pytest.mark.parametrize("kind", ["columns", "types"])
def test_the_example_comes_back_as_the_model_itself_answers(
    kind: str, request: pytest.FixtureRequest
) -> None:
    server: Server = request.getfixturevalue(kind)
    example = server.client.get(_RUNTIME.example_path_for(kind)).json()
    answer = _infer(server, example["request"])
    assert answer.status_code == 200, answer.text
    assert _same(answer.json()["outputs"], example["expected"])


def test_every_column_type_comes_back_as_it_was_sent(types: Server) -> None:
    sent = [
        _tensor("boolean", "BOOL", True, False),
        _tensor("integer", "INT32", 2**31 - 1, -(2**31)),
        _tensor("long", "INT64", 2**63 - 1, -(2**63)),
        _tensor("float", "FP32", 0.5, -1.25),
        _tensor("double", "FP64", 0.1, None),
        _tensor("string", "BYTES", "a", "snow ☃"),
        _tensor("binary", "BYTES", "AP8=", ""),
        _tensor(
            "datetime", "BYTES", "2026-01-31T12:30:00.000000000", "1970-01-01T00:00:00.000000000"
        ),
    ]
    answer = _infer(types, {"inputs": sent})
    assert answer.status_code == 200, answer.text
    outputs = {item["name"]: item for item in answer.json()["outputs"]}
    for tensor in sent:
        assert outputs[tensor["name"]]["datatype"] == tensor["datatype"]
        assert outputs[tensor["name"]]["data"] == tensor["data"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"distance": None}, "missing input `distance`"),
        ({"extra": _tensor("extra", "FP64", 1.0)}, "unknown input `extra`"),
        ({"again": _tensor("hour", "INT64", 1)}, "input `hour` is given twice"),
        ({"hour": _tensor("hour", "FP64", 1.0)}, "input `hour`: datatype FP64 does not fit INT64"),
        ({"hour": _tensor("hour", "INT64", "9")}, 'input `hour`: value `"9"`'),
        ({"hour": _tensor("hour", "INT64", None)}, "input `hour`: null"),
        ({"distance": _tensor("distance", "FP64", None)}, "input `distance`: null"),
        ({"hour": _tensor("hour", "INT64", 1, 2)}, "input `hour` has 2 rows"),
        ({"hour": _tensor("hour", "INT64", 1, shape=[2])}, "input `hour`: shape [2] takes 2"),
        ({"hour": _tensor("hour", "INT64", 1, shape=[1, 1, 1])}, "input `hour`: shape [1, 1, 1]"),
        ({"carrier": _tensor("carrier", "BYTES", 7)}, "input `carrier`: value `7`"),
    ],
)
def test_a_wrong_request_is_400_with_the_field(
    columns: Server, wrong: dict[str, Any], said: str
) -> None:
    answer = _infer(columns, _flight(wrong))
    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_wrong_text_in_typed_columns_is_400_with_the_field(types: Server) -> None:
    example = types.client.get("/v2/models/types/example").json()["request"]
    for name, bad in (
        ("datetime", "yesterday"),
        ("datetime", "2026-01-31T12:00:00+01:00"),
        ("binary", "%"),
    ):
        inputs = [
            {**tensor, "data": [bad, bad]} if tensor["name"] == name else tensor
            for tensor in example["inputs"]
        ]
        answer = _infer(types, {"inputs": inputs})
        assert answer.status_code == 400, answer.text
        assert f"input `{name}`" in answer.json()["error"]


def test_an_optional_column_may_be_null_and_a_narrower_type_is_widened(columns: Server) -> None:
    changed = {"temp": _tensor("temp", "FP32", None, shape=[1, 1])}
    changed["hour"] = _tensor("hour", "INT8", 9)
    assert _infer(columns, _flight(changed)).status_code == 200


def test_a_body_over_16_mib_is_413_and_the_server_lives(columns: Server) -> None:
    large = b" " * (17 * 2**20)

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(large), 2**16):
            yield large[start : start + 2**16]

    for content in (large, chunks()):
        try:
            answer = columns.client.post("/v2/models/columns/infer", content=content)
            assert answer.status_code == 413
        except httpx.WriteError:
            # The server answered and closed before all was sent; some clients miss the answer.
            continue
    assert _infer(columns, _flight()).status_code == 200


def test_32_clients_get_the_answers_that_single_calls_get(columns: Server) -> None:
    flights = [
        _flight(distance=100.0 + 40 * n, hour=n % 24, carrier=["AA", "UA", "DL"][n % 3])
        for n in range(128)
    ]
    client = columns.client
    alone = [_infer(columns, flight, client).json()["outputs"] for flight in flights]
    assert len({json.dumps(outputs) for outputs in alone}) > 1
    before = client.get("/metrics").text
    local = threading.local()

    def call(flight: Any) -> Any:
        if not hasattr(local, "client"):
            local.client = columns.client
        return _infer(columns, flight, local.client).json()["outputs"]

    with ThreadPoolExecutor(32) as pool:
        together = list(pool.map(call, flights * 2))
    assert together == alone * 2
    after = client.get("/metrics").text
    calls = _count(after, "batch_rows_count") - _count(before, "batch_rows_count")
    assert calls < len(flights) * 2


def _count(text: str, name: str) -> float:
    line = next(line for line in text.splitlines() if line.startswith(f"plinth_infer_{name}"))
    return float(line.split()[-1])


def test_one_failing_request_in_a_batch_fails_alone(types: Server) -> None:
    example = types.client.get("/v2/models/types/example").json()["request"]

    def request(text: str) -> Any:
        return {
            "inputs": [
                {**tensor, "data": [text, text]} if tensor["name"] == "string" else tensor
                for tensor in example["inputs"]
            ]
        }

    with ThreadPoolExecutor(8) as pool:
        slow = pool.submit(_infer, types, request("slow"))
        time.sleep(0.3)
        texts = ["a", "b", "raise", "c", "d"]
        answers = list(pool.map(lambda text: _infer(types, request(text)), texts))
        assert slow.result().status_code == 200
    assert [answer.status_code for answer in answers] == [200, 200, 500, 200, 200]
    assert answers[2].json() == {"error": "the model failed: RuntimeError: told to raise"}
    for text, answer in zip(texts, answers, strict=True):
        if answer.status_code == 200:
            outputs = {item["name"]: item["data"] for item in answer.json()["outputs"]}
            assert outputs["string"] == [text, text]


def test_the_official_client_works_unmodified(environment: BuiltEnvironment, models: Path) -> None:
    for model in ("columns", "tensor", "types"):
        ran = subprocess.run(
            [environment.python, str(_CLIENT), str(models / model), model],
            env=_variables(
                V2SERVER_PATH=_RUNTIME.variables["PYTHONPATH"].format(runtimes=_RUNTIME.folder)
            ),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert ran.stdout.strip().endswith("all right")


def test_a_tensor_model_serves_and_has_no_example(start: Start) -> None:
    server = start("tensor").wait_ready()
    answer = _infer(server, {"inputs": [_tensor("input-0", "FP64", *range(8), shape=[2, 4])]})
    assert answer.json()["outputs"][0]["data"] == pytest.approx([6.0, 22.0])
    nested = {"name": "input-0", "datatype": "FP32", "shape": [1, 4], "data": [[1, 2, 3, 4.5]]}
    assert _infer(server, {"inputs": [nested]}).json()["outputs"][0]["data"] == pytest.approx(
        [10.5]
    )
    wrong = _infer(server, {"inputs": [_tensor("input-0", "FP64", *range(6), shape=[2, 3])]})
    assert wrong.json()["error"] == "input `input-0`: shape [2, 3] does not fit [-1, 4]"
    example = server.client.get("/v2/models/tensor/example")
    assert example.status_code == 404
    assert "without an input example" in example.json()["error"]


@pytest.mark.parametrize(
    ("model", "said"),
    [("broken", "does not load: "), ("unsigned", "the model has no signature")],
)
def test_a_model_that_does_not_load_says_why_and_exits_3(
    start: Start, model: str, said: str
) -> None:
    server = start(model)
    assert server.process.wait(_START_S) == 3
    last = server.log().splitlines()[-1]
    assert last.startswith(f"error: model `{model}` version `7` does not load: ")
    assert said in last


def test_sigterm_finishes_what_runs_and_exits_0(start: Start) -> None:
    server = start("types").wait_ready()
    example = server.client.get("/v2/models/types/example").json()["request"]
    for tensor in example["inputs"]:
        if tensor["name"] == "string":
            tensor["data"] = ["slow", "slow"]
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(_infer, server, example)
        time.sleep(0.4)
        server.process.send_signal(signal.SIGTERM)
        assert slow.result().status_code == 200
    assert server.process.wait(10) == 0


def test_sigterm_while_loading_exits_0_at_once(start: Start) -> None:
    server = start("columns")
    client = server.client
    assert client.get("/v2/health/live", timeout=30).status_code == 200
    assert client.get("/v2/health/ready", timeout=30).status_code in (200, 503)
    client.close()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(10) == 0
