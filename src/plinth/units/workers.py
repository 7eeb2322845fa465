"""Run a unit's command as often as its socket asks for: its workers, from none to many.

The supervisor keeps the listening socket open and never takes a connection: what nobody takes
waits in the kernel, also while no worker runs, or one is being replaced. A worker is given

- the socket as descriptor 3, shared with the others; it takes as many as it can work on;
- descriptor 4: it writes a line there when it begins to take connections;
- `PLINTH_WORKER`: its place, the smallest that is free. The first `least` never have to end.

A worker that has nothing to do ends with code 0, never in the middle of something; whoever comes
then waits for the next one. A worker that ends before it took connections, while no other does,
ends the unit, as the end of any server does: whoever started it decides how it goes on.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from plinth.units import processes
from plinth.units.beginning import Beginning
from plinth.units.child import Start
from plinth.units.demand import Demand, Wish
from plinth.units.folder import UnitFolder
from plinth.units.tree import Tree, fork_command, why_ended
from plinth.units.worker_times import WorkerTime, note_end, note_start

PLACE_VARIABLE = "PLINTH_WORKER"

_AGAIN_S = 1.0
_SOON_S = 0.02


@dataclass
class _Worker:
    """One that runs. `says`: where it will say that it takes connections, None when it is heard.

    `began`: when, of `time.monotonic()`.
    """

    place: int
    process: processes.Process
    start: Start
    life: WorkerTime
    began: float
    says: int | None
    is_ready: bool = False
    is_late: bool = False

    def hear(self) -> None:
        """Learn whether it takes connections, where it has said anything yet."""
        if self.says is None or not select.select([self.says], [], [], 0)[0]:
            return
        # It may also have closed it without a word: then it never will be ready.
        self.is_ready = bool(os.read(self.says, 1))
        os.close(self.says)
        self.says = None


class Workers(Tree):
    """See the module."""

    def __init__(self, folder: UnitFolder, start: Start, wakeup: int, beginning: Beginning) -> None:
        """Take what each worker needs; `beginning`: the unit's, on whose clock all times stand."""
        super().__init__(folder, start, wakeup)
        assert self.spec.elastic is not None
        assert start.listener is not None
        self._elastic, self._listener = self.spec.elastic, start.listener
        self._beginning = beginning
        self._demand = Demand(self._elastic)
        self._workers: dict[int, _Worker] = {}
        self._count = 0
        self._untold: list[tuple[WorkerTime, str | None]] = []
        self._look_at: float | None = None

    def begin(self) -> dict[str, processes.Process]:
        """Start nobody: whoever comes first wakes the first."""
        return {}

    def wait(self) -> None:
        """Start workers and let them end, until the unit is to end and nobody is left."""
        while (is_any_left := self.reap()) or self.deadline is None or self._untold:
            self._look_at = None
            self._tell()
            self._kill_late()
            if is_any_left and not self._workers and self.deadline is None:
                self._kill_left()
            wish = self._wish() if self.deadline is None else Wish()
            if wish.start:
                self._start()
                continue
            self.kill_when_due()
            self._sleep(wish)

    def ended(self, pid: int, status: int) -> None:
        """Note the end of a worker, and what it means for the unit."""
        worker = self._workers.pop(pid, None)
        if worker is None:
            return
        failure = worker.start.failure()
        worker.start.close()
        worker.hear()
        if worker.says is not None:
            os.close(worker.says)
        if worker.is_late:
            failure = f"was not ready after {self._elastic.start_s:g} s"
        how = failure or why_ended(status)
        self._untold.append((replace(worker.life, ended_at=self._beginning.until_now()), how))
        self._tell()
        if worker.is_ready and os.waitstatus_to_exitcode(status) == 0:
            self._demand.ended_well()
            return
        now = time.monotonic()
        self._demand.failed(now, now - worker.began)
        is_alone = not any(each.is_ready for each in self._workers.values())
        if not worker.is_ready and is_alone and self.deadline is None:
            self.status, self.failure = status, failure
            self.begin_end(self.spec.grace_s)
        elif self.deadline is None:
            sys.stderr.write(f"worker {worker.life.number}: {how or 'ended before it was ready'}\n")

    def leaders(self) -> Iterable[processes.Process]:
        """Return the workers that run, in the order of their start."""
        return [each.process for each in self._workers.values()]

    # What comes next.

    def _wish(self) -> Wish:
        ready = sum(each.is_ready for each in self._workers.values())
        starting = len(self._workers) - ready
        return self._demand.wish(time.monotonic(), ready, starting, self._does_anybody_wait)

    def _does_anybody_wait(self) -> bool:
        return bool(select.select([self._listener], [], [], 0)[0])

    def _sleep(self, wish: Wish) -> None:
        waking = {each.says: each for each in self._workers.values() if each.says is not None}
        others = [*waking, *([self._listener] if wish.listen else [])]
        late = (each for each in self._workers.values() if not each.is_ready)
        times = [self._look_at, wish.look_at, *map(self._late_at, late)]
        numbers, ready = self.sleep(others, min((t for t in times if t is not None), default=None))
        for descriptor in ready & waking.keys():
            waking[descriptor].hear()
        if signal.SIGTERM in numbers:
            self.stop()

    # One worker.

    def _start(self) -> None:
        """Start one; where that cannot be, try again later: those who wait go on waiting."""
        taken = {each.place for each in self._workers.values()}
        place = next(place for place in range(self._elastic.most) if place not in taken)
        try:
            self._fork(place)
        except OSError as err:
            sys.stderr.write(f"a worker cannot be started: {err}\n")
            self._demand.failed(time.monotonic(), 0.0)

    def _fork(self, place: int) -> None:
        says, its_says = os.pipe()
        variables = {**self.spec.env, PLACE_VARIABLE: str(place)}
        start = replace(
            self.start,
            spec=replace(self.spec, env=variables),
            listener=os.dup(self._listener),
            says=its_says,
        )
        life = WorkerTime(self._count + 1, self._beginning.until_now())
        try:
            process = fork_command(start)
            note_start(self.folder.workers, life, [*self.leaders(), process])
        except OSError:
            start.call_off()
            os.close(says)
            raise
        self._count += 1
        worker = _Worker(place, process, start, life, time.monotonic(), says)
        self._workers[process.pid] = worker
        start.release()

    def _late_at(self, worker: _Worker) -> float | None:
        return None if worker.is_late else worker.began + self._elastic.start_s

    def _kill_late(self) -> None:
        """Kill who takes too long to start."""
        now = time.monotonic()
        for worker in self._workers.values():
            late_at = self._late_at(worker)
            if not worker.is_ready and late_at is not None and late_at <= now:
                worker.is_late = True
                processes.send(worker.process, signal.SIGKILL)

    def _kill_left(self) -> None:
        """Kill what workers left behind: a unit that sleeps has no process but its supervisor."""
        for process in processes.descendants(os.getpid()):
            processes.send(process, signal.SIGKILL)
        self._look_again(_SOON_S)

    def _tell(self) -> None:
        """Write the ends that are not written yet; on a full disk as soon as there is room."""
        while self._untold:
            ended, how = self._untold[0]
            try:
                note_end(self.folder.workers, ended, how, self.leaders())
            except OSError:
                # Once somebody removed the folder, nobody will read it.
                if self.folder.path.exists():
                    self._look_again(_AGAIN_S)
                    return
            del self._untold[0]

    def _look_again(self, after_s: float) -> None:
        then = time.monotonic() + after_s
        self._look_at = then if self._look_at is None else min(self._look_at, then)
