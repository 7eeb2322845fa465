"""Ray Data over the same files and the same model: `python batch_ray.py IN OUT FORM ROWS WORKERS`.

Run by an interpreter that has ray, pyarrow and onnxruntime.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any


class Answer:
    """Holds one session in each of Ray's actors."""

    def __init__(self, folder: str) -> None:
        runtime = importlib.import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        self._form = json.loads((Path(folder) / "form.json").read_text())
        self._session = runtime.InferenceSession(str(Path(folder) / "model.onnx"), options)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Return the ids and the answers of a batch."""
        feed = {
            name: batch[name].astype(object if kind == "string" else "float32").reshape(-1, 1)
            for name, kind in self._form["types"].items()
        }
        found = self._session.run([self._form["output"]], feed)[0]
        return {"id": batch["id"]} | {f"prediction_{at}": found[:, at] for at in range(2)}


def main() -> None:
    """Answer all files."""
    source, target, form, size, workers = sys.argv[1:]
    ray = importlib.import_module("ray")
    ray.init(
        num_cpus=int(workers) + 1,
        include_dashboard=False,
        log_to_driver=False,
        _temp_dir=str(Path(target).resolve().with_name("ray")),
    )
    # Else files as small as these come as one block, which one actor answers alone.
    blocks = len(list(Path(source).iterdir()))
    data = ray.data.read_parquet(source, override_num_blocks=blocks)
    answered = data.map_batches(
        Answer,
        fn_constructor_args=(form,),
        batch_size=int(size),
        compute=ray.data.ActorPoolStrategy(size=int(workers)),
    )
    answered.write_parquet(target)
    ray.shutdown()


if __name__ == "__main__":
    main()
