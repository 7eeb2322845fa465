"""The batch program over a folder of files, without Plinth around it: started, killed, read."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plinth.runtimes.batch import load_batch_packages

Json = dict[str, Any]
_RUNTIMES = load_batch_packages().folder
_PATIENCE_S = 120.0


@dataclass
class Stand:
    """One run. `python` has the model's packages and the converter's; it also answers."""

    python: Path
    model: Path
    data: Path
    work: Path
    options: Json = field(default_factory=dict)

    def order(self) -> Path:
        """Write what is to be done; return where it stands."""
        files = [
            {
                "name": path.relative_to(self.data).as_posix(),
                "digest": hashlib.sha256(path.read_bytes()).hexdigest(),
                "size_bytes": path.stat().st_size,
            }
            for path in sorted(self.data.rglob("*"))
            if path.is_file()
        ]
        order = {
            "data": str(self.data),
            "files": files,
            "model": str(self.model),
            "model_python": str(self.python),
            "known_form": None,
            "form": "pyfunc",
            "keep": [],
            "mini_batch": 10,
            "workers": 1,
            "error_threshold": "0",
            "facts": {"model": {"name": self.model.name, "version": 1}, "data": {"name": "d"}},
        }
        path = self.work.parent / "order.json"
        if not path.exists():
            path.write_text(json.dumps(order | self.options))
        return path

    def start(self) -> subprocess.Popen[str]:
        """Start it in a session of its own."""
        self.work.mkdir(exist_ok=True)
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return subprocess.Popen(
            [
                *(str(self.python), "-m", "batchrunner"),
                *("--order", str(self.order()), "--work", str(self.work)),
            ],
            env={**kept, "PYTHONPATH": str(_RUNTIMES), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self) -> tuple[int, str]:
        """Run it to its end; return the exit code and what it printed."""
        process = self.start()
        out, _ = process.communicate(timeout=_PATIENCE_S)
        return process.returncode, out

    @property
    def manifest(self) -> Json:
        found: Json = json.loads((self.work / "manifest.json").read_bytes())
        return found

    @property
    def progress(self) -> Json:
        try:
            found: Json = json.loads((self.work / "progress.json").read_bytes())
        except FileNotFoundError:
            return {}
        return found

    def finished(self) -> dict[str, int]:
        """Return the parts that are there, with the number of each file on the disk."""
        return {path.name: path.stat().st_ino for path in (self.work / "output").glob("part-*")}

    def rows(self, folder: str = "output") -> list[Json]:
        """Return all rows of the parts, as the model's environment reads them."""
        script = (
            "import json, sys, pyarrow.parquet as pq, pathlib\n"
            "rows = [row for path in sorted(pathlib.Path(sys.argv[1]).glob('part-*'))"
            " for row in pq.read_table(path).to_pylist()]\n"
            "print(json.dumps(rows, default=str))"
        )
        done = subprocess.run(
            [self.python, "-c", script, str(self.work / folder)],
            check=True,
            capture_output=True,
            text=True,
        )
        found: list[Json] = json.loads(done.stdout)
        return found

    def types(self) -> list[list[str]]:
        """Return the types of the output's columns, each set that any part has once."""
        script = (
            "import json, sys, pyarrow.parquet as pq, pathlib\n"
            "parts = sorted(pathlib.Path(sys.argv[1]).glob('part-*'))\n"
            "types = [[str(kind) for kind in pq.read_schema(part).types] for part in parts]\n"
            "print(json.dumps(types))"
        )
        command = [self.python, "-c", script, str(self.work / "output")]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return [list(each) for each in dict.fromkeys(map(tuple, json.loads(done.stdout)))]


def wait_until(seen: Any, what: str) -> None:
    """Poll until `seen()` is truthy."""
    deadline = time.monotonic() + _PATIENCE_S
    while not seen():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.01)


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a runner with all its workers, as the loss of its unit does."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
