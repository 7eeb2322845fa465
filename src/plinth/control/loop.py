"""The reconciler driver: due rows are loaded, worked on with no transaction open, and written."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Protocol

from sqlalchemy import Connection, Table

from plinth.control.duties import Duty
from plinth.kit.clock import Clock
from plinth.kit.errors import NotFound, PlinthError, Temporary
from plinth.store.leases import (
    Claim,
    Holder,
    any_due,
    apply_leased,
    claim_due,
    release_all,
    release_unheld,
    rouse_all,
)
from plinth.store.session import Database

log = logging.getLogger(__name__)

LEASE_S = 60.0
_WORKERS = 8
_SCAN_S = 0.2
_UNKNOWN_RETRY_S = 2.0
_WRITE_AGAIN_S = 0.5
# A wall clock that fell behind by more than this was set back; less is the clock's own trimming.
_SET_BACK_S = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a reconciler decided: columns to write, rows besides, and when to look again.

    `again_after_s` None: not until a hint. `also` runs in the same transaction, and only when the
    lease still holds. `still` says whether the intent that was read still stands: when it does
    not, nothing is written and the row is due at once.
    """

    changes: Mapping[str, Any] = field(default_factory=dict)
    again_after_s: float | None = None
    also: Callable[[Connection], None] | None = None
    still: Callable[[Connection], bool] | None = None


class Reconciler(Protocol):
    """Bring one kind of row nearer to its intent, a step at a time.

    Every step may be repeated; side effects carry (run, replica, attempt) or are "create if
    absent". `load` and `failed` are short; `work` may call engines and servers.
    """

    table: Table

    def load(self, connection: Connection, key: str) -> Any:
        """Read all that `work` needs. Raises NotFound when the row is gone."""
        ...

    def work(self, state: Any, claim: Claim) -> Outcome:
        """Decide and act. Raises Temporary to be called again, Permanent to give up.

        Whatever an engine is told carries `claim.valid_until`: another may have the row after it.
        """
        ...

    def failed(self, state: Any, error: PlinthError) -> Outcome:
        """Return how the error is shown and when to try again."""
        ...


class Loop:
    """Drive the reconcilers until `stop`; a hint wakes it, a periodic scan always runs.

    No row is taken that a worker of this loop still has, and none that no worker is free for.
    Other loops may drive the same rows (docs/explanation/leases.md). `lease_s`: after how long
    they may take what this one has claimed. `threads`: how many rows are worked on at once; with
    one, in the order in which they were claimed.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        reconcilers: Sequence[Reconciler],
        *,
        holder: Holder | None = None,
        lease_s: float = LEASE_S,
        threads: int = _WORKERS,
    ) -> None:
        self._database = database
        self._clock = clock
        self._reconcilers = reconcilers
        self._holder = holder or Holder.begin("control")
        self._lease_s = lease_s
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="reconcile")
        # What a worker has, by table and key. Not taken again when its lease ends: what blocks
        # for ever would take one worker after the other.
        self._in_flight: set[tuple[str, str]] = set()
        # Tables whose last claim ended in an error: whether it took rows is not known.
        self._unsure: set[str] = set()
        self._lock = threading.Lock()
        self._turn = 0
        self._wall_ahead_s = self._measure_wall()
        self._thread = threading.Thread(target=self._run, name="loop", daemon=True)

    def start(self) -> None:
        """Free what this control plane held in an earlier life, and begin."""
        self.release()
        self._thread.start()

    def release(self) -> None:
        """Free the leases of this control plane's earlier lives: they ended before this began."""
        with self._database.write() as connection:
            now = self._database.now(connection, self._clock)
            for reconciler in self._reconcilers:
                release_all(connection, reconciler.table, now, self._holder)
                # Nor may a row wait longer because the clock was set back meanwhile.
                rouse_all(connection, reconciler.table, now)

    def hint(self) -> None:
        """Say that something became due. Carries nothing: the rows decide."""
        self._wake.set()

    def stop(self) -> None:
        """End after the steps that are under way."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()
        self.close()

    def close(self) -> None:
        """End the workers after their steps; a loop that was only stepped has no more than that."""
        self._pool.shutdown()

    def step(self) -> int:
        """Claim what is due and work on it; return how many rows (tests call this alone)."""
        futures = self._claim()
        for future in futures:
            future.result()
        return len(futures)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._claim()
            except Temporary as err:
                log.warning("the reconciler loop could not claim rows: %s", err.message)
            except Exception:
                # Nothing may end the loop: say so, and go on.
                log.exception("the reconciler loop could not claim rows")
            self._wake.wait(_SCAN_S)
            self._wake.clear()

    def _claim(self) -> list[Future[None]]:
        futures = []
        self._rouse_after_set_back()
        # Each time another one is first, so that none takes all workers for itself.
        self._turn = (self._turn + 1) % len(self._reconcilers)
        ordered = (*self._reconcilers[self._turn :], *self._reconcilers[: self._turn])
        for reconciler in self._find_due(ordered):
            futures += [
                self._pool.submit(self._reconcile, reconciler, claim)
                for claim in self._claim_rows(reconciler)
            ]
        return futures

    def _measure_wall(self) -> float:
        """Return how far the wall clock is ahead of the one that nobody can set."""
        return self._clock.now().timestamp() - self._clock.since_boot_s()

    def _rouse_after_set_back(self) -> None:
        """Let no row wait for a time that the clock, set back, shows only much later."""
        ahead_s = self._measure_wall()
        set_back_s = self._wall_ahead_s - ahead_s
        if set_back_s >= _SET_BACK_S:
            log.warning("the clock was set back by %.0f s", set_back_s)
            with self._database.write() as connection:
                now = self._database.now(connection, self._clock)
                for reconciler in self._reconcilers:
                    rouse_all(connection, reconciler.table, now)
        # Not before that was written: else a busy database would have the jump forgotten.
        self._wall_ahead_s = ahead_s

    def _find_due(self, reconcilers: Sequence[Reconciler]) -> list[Reconciler]:
        """Return those whose table has a row to claim."""
        held = {reconciler.table.name: self._held(reconciler.table) for reconciler in reconcilers}
        if self._free() <= 0:
            return []
        for reconciler in reconcilers:
            self._release_lost(reconciler.table, held[reconciler.table.name])
        # Most scans find nothing: one look at all tables, and a reader never waits for a writer.
        with self._database.read() as connection:
            now = self._database.now(connection, self._clock)
            return [
                reconciler
                for reconciler in reconcilers
                if any_due(connection, reconciler.table, now, held[reconciler.table.name])
            ]

    def _held(self, table: Table) -> list[str]:
        with self._lock:
            return [key for name, key in self._in_flight if name == table.name]

    def _free(self) -> int:
        with self._lock:
            return _WORKERS - len(self._in_flight)

    def _claim_rows(self, reconciler: Reconciler) -> list[Claim]:
        table, free = reconciler.table, self._free()
        if free <= 0:
            return []
        claims = self._claim_due(table, free, self._held(table))
        with self._lock:
            self._in_flight.update((table.name, claim.key) for claim in claims)
        return claims

    def _release_lost(self, table: Table, held: Sequence[str]) -> None:
        """Free what an unanswered claim may have taken: nobody works on it."""
        if table.name not in self._unsure:
            return
        with self._database.write() as connection:
            now = self._database.now(connection, self._clock)
            release_unheld(connection, table, now, self._holder, held)
        self._unsure.discard(table.name)

    def _claim_due(self, table: Table, limit: int, skip: Sequence[str]) -> list[Claim]:
        # Counted from before the claim, so that it ends here before it ends for the others.
        valid_until = self._clock.since_boot_s() + self._lease_s
        self._unsure.add(table.name)
        with self._database.write(alone=False) as connection:
            claims = claim_due(
                connection,
                table,
                holder=self._holder,
                now=self._database.now(connection, self._clock),
                lease_s=self._lease_s,
                limit=limit,
                skip=skip,
            )
        self._unsure.discard(table.name)
        return [replace(claim, valid_until=valid_until) for claim in claims]

    def _reconcile(self, reconciler: Reconciler, claim: Claim) -> None:
        at_once = False
        try:
            outcome = self._attempt(reconciler, claim)
            if outcome is not None:
                applied = self._apply_at_last(reconciler, claim, outcome)
                at_once = applied and outcome.again_after_s == 0
        except Exception:
            # The lease ends by itself and the row is taken up again.
            log.exception("%s %s could not be written", reconciler.table.name, claim.key)
        finally:
            with self._lock:
                was_full = len(self._in_flight) >= _WORKERS
                self._in_flight.discard((reconciler.table.name, claim.key))
        if was_full or at_once:
            self.hint()

    def _attempt(self, reconciler: Reconciler, claim: Claim) -> Outcome | None:
        try:
            with self._database.read() as connection:
                state = reconciler.load(connection, claim.key)
        except NotFound:
            # The lease is given back, and the row waits for a hint.
            return Outcome()
        except Temporary as err:
            log.debug("%s %s: %s", reconciler.table.name, claim.key, err.message)
            return Outcome(again_after_s=_WRITE_AGAIN_S)
        if self._clock.since_boot_s() >= claim.valid_until:
            log.info("%s %s: lease over before the work began", reconciler.table.name, claim.key)
            return None
        try:
            return reconciler.work(state, claim)
        except PlinthError as err:
            log.debug("%s %s: %s", reconciler.table.name, claim.key, err.message)
            return reconciler.failed(state, err)
        except Exception as err:
            log.exception("%s %s: unexpected", reconciler.table.name, claim.key)
            unexpected = Temporary(
                f"unexpected {type(err).__name__}: {err}", retry_after_s=_UNKNOWN_RETRY_S
            )
            return reconciler.failed(state, unexpected)

    def _apply_at_last(self, reconciler: Reconciler, claim: Claim, outcome: Outcome) -> bool:
        """Write the outcome, again and again while the database takes nothing and the lease holds.

        Otherwise nobody looks at the row before its lease ends.
        """
        while True:
            try:
                return self._apply(reconciler, claim, outcome)
            except Temporary as err:
                is_over = self._clock.since_boot_s() >= claim.valid_until
                if is_over or self._stopping.wait(_WRITE_AGAIN_S):
                    raise
                log.warning("%s %s: %s", reconciler.table.name, claim.key, err.message)

    def _apply(self, reconciler: Reconciler, claim: Claim, outcome: Outcome) -> bool:
        after = outcome.again_after_s
        with self._database.write() as connection:
            now = self._database.now(connection, self._clock)
            due_at = None if after is None else now + timedelta(seconds=after)
            if outcome.still is not None and not outcome.still(connection):
                apply_leased(connection, reconciler.table, claim, {}, now)
                return False
            held = apply_leased(connection, reconciler.table, claim, outcome.changes, due_at)
            if not held:
                log.info("%s %s: lease lost, discarded", reconciler.table.name, claim.key)
                return False
            if outcome.also is not None:
                outcome.also(connection)
        return True


class Periodic:
    """Call a function again and again in a thread of its own, at once when hinted.

    With a duty: only while it is ours, so that one control plane at a time does it.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[], None],
        period_s: float,
        duty: Duty | None = None,
    ) -> None:
        self.name = name
        self._function = function
        self._period_s = period_s
        self._duty = duty
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.last_error: str | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def hint(self) -> None:
        """Call the function soon."""
        self._wake.set()

    def stop(self) -> None:
        """End after the call that is under way."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._duty is None or self._duty.hold():
                    self._function()
                self.last_error = None
            except PlinthError as err:
                if self.last_error != err.message:
                    level = logging.INFO if isinstance(err, Temporary) else logging.WARNING
                    log.log(level, "%s: %s", self.name, err.message)
                self.last_error = err.message
            except Exception as err:
                # One failed round (a full disk, a busy database) must not end all later ones.
                log.exception("%s failed", self.name)
                self.last_error = f"{type(err).__name__}: {err}"
            self._wake.wait(self._period_s)
            self._wake.clear()
