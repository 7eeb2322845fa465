"""Bring one run to its end: count, choose the model's form, share out what is left, sum it up.

Standard library only: it starts other interpreters, and none of its memory holds rows.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .crew import Crew, Hand, command_of, how_it_ended
from .journal import is_there, read_journals, sweep, sync_folder, write_json
from .manifest import MANIFEST, manifest_of
from .order import Hopeless, Order
from .progress import PROGRESS, Progress
from .work import Finished, Index, Portion, allowed_errors, count_batches, portions

OUTPUT, QUARANTINE, JOURNAL, FORM = "output", "quarantine", "journal", "form"
IDENTITY = "identity.json"
_LOCK = ".lock"
_MOST_PARTS = 10_000
# A conversion that takes longer is given up; the model then stays as it is.
_CONVERSION_S = 600.0
# How often a worker may die at the same mini-batch.
_DEATHS = 3
_LISTEN_S = 0.5
# What `convert` wrote of the form in which the model answers.
Form = dict[str, Any]


class Runner:
    """See the module. `work`: the folder of the run, which outlives its attempts."""

    def __init__(self, order: Order, order_path: Path, work: Path) -> None:
        self._order, self._order_path, self._work = order, order_path, work
        self._progress = Progress(work / PROGRESS, files=len(order.files))
        self._indexes: dict[int, Index] = {}
        self._finished: dict[tuple[int, int], Finished] = {}
        self._allowed = 0

    def run(self) -> None:
        """Do what is left. Raises Hopeless, and OSError when the disk is full."""
        for name in (OUTPUT, QUARANTINE, JOURNAL):
            (self._work / name).mkdir(mode=0o700, exist_ok=True)
        sync_folder(self._work)
        with _alone(self._work) as lock:
            self._take_over()
            crew = self._crew(sys.executable, lock)
            try:
                self._count(crew)
                form, folder = self._form()
                if form["form"] != "onnx":
                    crew.end()
                    crew = self._crew(self._model_python(), lock)
                self._answer(crew, {"do": "load", "form": form, "folder": folder})
                crew.dismiss()
            finally:
                crew.end()
                # However it ended: what is finished is told, since it can be taken over.
                self._progress.write(now=True)
            self._sum_up(form)

    # -- what was done before -------------------------------------------------------------------

    def _take_over(self) -> None:
        identity = self._work / IDENTITY
        if identity.exists():
            self._check_identity(json.loads(identity.read_bytes()))
        else:
            write_json(identity, self._order.identity)
        self._indexes, finished = read_journals(self._work / JOURNAL)
        self._finished = {
            key: one
            for key, one in finished.items()
            if is_there(self._work / OUTPUT, one.output)
            and is_there(self._work / QUARANTINE, one.quarantine)
        }
        sweep(self._work / OUTPUT, self._finished, "output")
        sweep(self._work / QUARANTINE, self._finished, "quarantine")

    def _check_identity(self, before: dict[str, Any]) -> None:
        for name, value in self._order.identity.items():
            if before.get(name) != value:
                raise Hopeless(
                    f"what was finished before is of another `{name}`, so it cannot be taken over"
                )

    # -- counting -------------------------------------------------------------------------------

    def _count(self, crew: Crew) -> None:
        waiting = deque(
            {"do": "index", "file": number}
            for number in range(len(self._order.files))
            if number not in self._indexes
        )
        deaths: Counter[int] = Counter()
        self._progress.write(now=True)
        for _ in range(min(self._order.workers, len(waiting))):
            crew.tell(crew.start(), waiting.popleft())
        busy = len(crew.hands)
        while busy:
            for hand, said in crew.listen(_LISTEN_S):
                task = hand.task or {}
                if said is None:
                    deaths[task["file"]] += 1
                    if deaths[task["file"]] >= _DEATHS:
                        name = self._order.files[task["file"]].name
                        raise Hopeless(f"counting the rows of `{name}` {how_it_ended(hand)}")
                    crew.tell(crew.start(), task)
                    continue
                self._heard_index(said)
                if waiting:
                    crew.tell(hand, waiting.popleft())
                else:
                    busy -= 1
            self._progress.write()
        self._know_rows()

    def _heard_index(self, said: dict[str, Any]) -> None:
        if "indexed" not in said:
            raise _error(said)
        found = said["indexed"]
        index = Index(found["file"], found["rows"], tuple(found["offsets"]))
        self._indexes[index.file] = index
        self._progress.rows += index.rows

    def _know_rows(self) -> None:
        progress, size = self._progress, self._order.mini_batch
        progress.rows = sum(index.rows for index in self._indexes.values())
        progress.batches = sum(count_batches(i.rows, size) for i in self._indexes.values())
        progress.batches_done = len(self._finished)
        progress.rows_done = sum(one.rows for one in self._finished.values())
        progress.errors = sum(one.errors for one in self._finished.values())
        progress.taken_over = progress.rows_done
        self._allowed = allowed_errors(self._order.error_threshold, progress.rows)
        if progress.batches > _MOST_PARTS:
            least = -(-progress.rows // (_MOST_PARTS // 2))
            raise Hopeless(
                f"{progress.rows:,} rows in mini-batches of {size:,} make {progress.batches:,} "
                f"files; at most {_MOST_PARTS:,} are written: raise `mini_batch` to {least:,}"
            )
        if progress.errors > self._allowed:
            raise Hopeless(self._too_many("before this attempt"))

    # -- the model's form -----------------------------------------------------------------------

    def _form(self) -> tuple[Form, str | None]:
        """Return how the model is run, and the folder that holds it converted."""
        wanted, own = self._order.form, self._work / FORM
        if wanted == "pyfunc":
            return self._chosen({"form": "pyfunc", "why": "the file asks for it"}, None)
        known = Path(self._order.known_form) if self._order.known_form else own
        if not (known / "form.json").exists():
            self._progress.step = "converting the model to ONNX"
            self._progress.write(now=True)
            self._convert(own)
            known = own
        form = json.loads((known / "form.json").read_bytes())
        if wanted == "onnx" and form["form"] != "onnx":
            raise Hopeless(f"the model cannot be run as ONNX: {form['why']}")
        return self._chosen(form, str(known) if form["form"] == "onnx" else None)

    def _chosen(self, form: Form, folder: str | None) -> tuple[Form, str | None]:
        self._progress.form = form["form"]
        print(f"the model runs as {form['form']}: {form['why']}", flush=True)  # noqa: T201 - its log
        return form, folder

    def _convert(self, target: Path) -> None:
        """Let the model's own environment convert it; one that cannot be stays as it is."""
        partial = target.with_name(f".{FORM}.{secrets.token_hex(4)}")
        partial.mkdir(mode=0o700)
        python = self._model_python()
        command = command_of(python, "batchrunner.convert", self._order_path, partial)
        was_killed = False
        try:
            code = subprocess.run(
                command, stdin=subprocess.DEVNULL, check=False, timeout=_CONVERSION_S
            ).returncode
            was_killed = code < 0
            how = f"was ended by signal {-code}" if was_killed else f"exited with code {code}"
        except subprocess.TimeoutExpired:
            how = f"took longer than {_CONVERSION_S:g} s"
        if not (partial / "form.json").exists():
            why = f"the conversion {how}"
            found = {"form": "pyfunc", "why": why, "was_killed": was_killed}
            write_json(partial / "form.json", found)
        with contextlib.suppress(OSError):
            partial.rename(target)

    def _crew(self, python: str, lock: int) -> Crew:
        command = command_of(python, "batchrunner.worker", self._order_path, self._work)
        return Crew(command, secrets.token_hex(4), (lock,))

    def _model_python(self) -> str:
        if self._order.model_python is None:
            raise Hopeless("the model's own environment is not there")
        return self._order.model_python

    # -- answering ------------------------------------------------------------------------------

    def _answer(self, crew: Crew, load: dict[str, Any]) -> None:
        todo = deque(
            portions(
                self._indexes,
                self._finished,
                size=self._order.mini_batch,
                workers=self._order.workers,
            )
        )
        self._progress.workers = min(self._order.workers, len(todo))
        self._progress.begin()
        if not todo:
            return
        deaths: Counter[tuple[int, int]] = Counter()
        given: dict[int, Portion] = {}
        while len(crew.hands) < self._progress.workers:
            crew.start()
        for hand in crew.hands:
            crew.tell(hand, load)
        while todo or any(hand.task for hand in crew.hands):
            for hand, said in crew.listen(_LISTEN_S):
                if said is None:
                    self._mourn(hand, deaths, given, todo)
                    crew.tell(crew.start(), load)
                    continue
                self._heard(hand, said)
                self._next(crew, hand, given, todo)
            self._progress.write()

    def _heard(self, hand: Hand, said: dict[str, Any]) -> None:
        if "loaded" in said:
            return
        if "finished" not in said:
            if "too_many" in said:
                raise Hopeless(self._too_many(said["too_many"]))
            raise _error(said)
        # The journal says the rest: one truth of what is finished.
        one = said["finished"]
        rows, errors = said["rows"], said["errors"]
        self._finished[one[0], one[1]] = Finished(one[0], one[1], rows)
        self._progress.rows_done += rows
        self._progress.errors += errors
        self._progress.batches_done += 1
        if self._progress.errors > self._allowed:
            raise Hopeless(self._too_many(f"the last ones in `{self._name(hand)}`"))

    def _next(
        self, crew: Crew, hand: Hand, given: dict[int, Portion], todo: deque[Portion]
    ) -> None:
        """Give a worker its next mini-batch: of its own portion, else of the next one."""
        pid = hand.process.pid
        portion = given.pop(pid, None)
        if portion is None or portion.first > portion.last:
            portion = todo.popleft() if todo else None
        if portion is None:
            hand.task = None
            return
        index = self._indexes[portion.file]
        task: dict[str, Any] = {"do": "score", "file": portion.file, "batch": portion.first}
        task |= {"budget": self._allowed - self._progress.errors}
        if hand.file != portion.file:
            task |= {"rows": index.rows, "offsets": list(index.offsets)}
            hand.file = portion.file
        given[pid] = Portion(portion.file, portion.first + 1, portion.last)
        crew.tell(hand, task)

    def _mourn(
        self,
        hand: Hand,
        deaths: Counter[tuple[int, int]],
        given: dict[int, Portion],
        todo: deque[Portion],
    ) -> None:
        """Put back what a dead worker had, and give up where workers die again and again."""
        task, rest = hand.task or {}, given.pop(hand.process.pid, None)
        key = (task.get("file", -1), task.get("batch", -1))
        deaths[key] += 1
        how = how_it_ended(hand)
        print(f"a worker {how}; another one goes on", flush=True)  # noqa: T201 - its log
        # All workers load the same: whoever ends them all at once ends none of them thrice.
        most = _DEATHS * (1 if key[0] >= 0 else self._progress.workers)
        if deaths[key] >= most:
            where = f"at mini-batch {key[1]} of `{self._name(hand)}`" if key[0] >= 0 else "loading"
            raise Hopeless(f"a worker {how}, {most} times {where}")
        if key[0] >= 0:
            last = rest.last if rest is not None else key[1]
            # It may have finished the mini-batch and died before it could say so.
            _, finished = read_journals(self._work / JOURNAL)
            first = key[1]
            if key in finished and key not in self._finished:
                one = finished[key]
                hand.task = task
                said = {"finished": list(key), "rows": one.rows, "errors": one.errors}
                self._heard(hand, said)
                first += 1
            if first <= last:
                todo.appendleft(Portion(key[0], first, last))

    def _name(self, hand: Hand) -> str:
        number = (hand.task or {}).get("file")
        return self._order.files[number].name if number is not None else "?"

    def _too_many(self, first: str) -> str:
        return (
            f"more than {self._allowed:,} of {self._progress.rows:,} rows failed "
            f"(`error_threshold: {self._order.error_threshold}`): {first}"
        )

    # -- the end --------------------------------------------------------------------------------

    def _sum_up(self, form: dict[str, Any]) -> None:
        self._progress.step = "writing the manifest"
        self._progress.write(now=True)
        _, finished = read_journals(self._work / JOURNAL)
        manifest = manifest_of(self._order, self._indexes, finished, form)
        write_json(self._work / MANIFEST, manifest)
        self._progress.step = "done"
        self._progress.write(now=True)
        print(  # noqa: T201 - its log
            f"{manifest['rows']:,} rows: {manifest['answered']:,} answered, "
            f"{manifest['set_aside']:,} set aside",
            flush=True,
        )


@contextmanager
def _alone(work: Path) -> Iterator[int]:
    """Hold the run's folder; workers hold it too, so it is free when all of them have ended."""
    descriptor = os.open(work / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _error(said: dict[str, Any]) -> Exception:
    if "hopeless" in said:
        return Hopeless(said["hopeless"])
    return RuntimeError(said.get("failed", "a worker said nothing that is known"))
