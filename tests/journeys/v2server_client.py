"""Run inside a model environment: ask the server with the official client, tritonclient.http.

`python v2server_client.py MODEL_FOLDER NAME`. It starts the server on a loopback port, since the
client knows no Unix sockets, and compares every answer with the model called directly.
"""

import os
import socket
import subprocess
import sys
import time

import mlflow.pyfunc
import numpy as np
import pandas as pd
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

KINDS = {"FP64": "float64", "FP32": "float32", "INT64": "int64", "INT32": "int32", "BOOL": "bool"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(folder, name, port):
    command = [sys.executable, "-m", "v2server", "--model", folder, "--name", name]
    command += ["--version", "1", "--port", str(port)]
    variables = {**os.environ, "PYTHONPATH": os.environ["V2SERVER_PATH"]}
    return subprocess.Popen(command, env=variables)


def wait_ready(client, process):
    for _ in range(900):
        assert process.poll() is None, "the server ended"
        try:
            if client.is_server_ready():
                return
        except ConnectionRefusedError:
            pass
        time.sleep(0.1)
    raise AssertionError("not ready")


def arrays_of(model, metadata):
    """Return what to send for each input."""
    if model.input_example is None:
        (only,) = metadata["inputs"]
        return {only["name"]: np.arange(8, dtype="float64").reshape(2, 4)}
    arrays = {}
    for item in metadata["inputs"]:
        column = model.input_example[item["name"]]
        if item["datatype"] != "BYTES":
            arrays[item["name"]] = column.to_numpy(KINDS[item["datatype"]])
        elif pd.api.types.is_datetime64_any_dtype(column.dtype):
            texts = [moment.isoformat().encode() for moment in column]
            arrays[item["name"]] = np.array(texts, object)
        else:
            cells = [cell if isinstance(cell, bytes) else cell.encode() for cell in column]
            arrays[item["name"]] = np.array(cells, object)
    return arrays


def inputs_of(arrays, metadata, *, binary):
    inputs = []
    for item in metadata["inputs"]:
        array = arrays[item["name"]]
        tensor = triton.InferInput(item["name"], list(array.shape), item["datatype"])
        tensor.set_data_from_numpy(array, binary_data=binary)
        inputs.append(tensor)
    return inputs


def columns_of(answer):
    if isinstance(answer, pd.DataFrame):
        return {name: answer[name].to_numpy() for name in answer.columns}
    return {"output-0": np.asarray(answer)}


def assert_equal(got, want):
    if got.dtype != object:
        np.testing.assert_allclose(got.astype(want.dtype), want, rtol=1e-9)
        return
    cells = [cell if isinstance(cell, bytes) else cell.encode() for cell in got.tolist()]
    if want.dtype.kind == "M":
        assert [pd.Timestamp(cell.decode()) for cell in cells] == [pd.Timestamp(t) for t in want]
        return
    expected = [cell if isinstance(cell, bytes) else cell.encode() for cell in want.tolist()]
    assert cells == expected, (cells, expected)


def check(client, name, model):
    metadata = client.get_model_metadata(name)
    assert client.get_server_metadata()["name"] == "plinth-v2server"
    assert client.is_server_live()
    assert client.is_model_ready(name)
    assert client.is_model_ready(name, "1")
    assert not client.is_model_ready(name, "2")
    arrays = arrays_of(model, metadata)
    data = model.input_example if model.input_example is not None else arrays["input-0"]
    expected = columns_of(model.predict(data))
    for binary in (True, False):
        if not binary and name == "types":
            # JSON cannot say raw bytes or NaN the way this client writes them.
            continue
        for wanted in (
            None,
            [triton.InferRequestedOutput(n, binary_data=binary) for n in expected],
        ):
            answer = client.infer(
                name, inputs_of(arrays, metadata, binary=binary), outputs=wanted, request_id="42"
            )
            assert answer.get_response()["id"] == "42"
            for output, want in expected.items():
                assert_equal(answer.as_numpy(output), want)
    for algorithm in ("gzip", "deflate"):
        answer = client.infer(
            name,
            inputs_of(arrays, metadata, binary=True),
            request_compression_algorithm=algorithm,
            response_compression_algorithm=algorithm,
        )
        assert_equal(answer.as_numpy(next(iter(expected))), next(iter(expected.values())))
    pending = [client.async_infer(name, inputs_of(arrays, metadata, binary=True)) for _ in range(8)]
    for request in pending:
        assert_equal(
            request.get_result().as_numpy(next(iter(expected))), next(iter(expected.values()))
        )
    try:
        client.infer(name, inputs_of(arrays, metadata, binary=True)[:1] * 2)
        said = "nothing"
    except InferenceServerException as err:
        said = err.message()
    assert "is given twice" in said, said


def main():
    folder, name = sys.argv[1:]
    port = free_port()
    process = start(folder, name, port)
    try:
        client = triton.InferenceServerClient(f"127.0.0.1:{port}", concurrency=4)
        wait_ready(client, process)
        check(client, name, mlflow.pyfunc.load_model(folder))
        client.close()
    finally:
        process.terminate()
        code = process.wait()
    assert code == 0, code
    print("all right")


if __name__ == "__main__":
    main()
