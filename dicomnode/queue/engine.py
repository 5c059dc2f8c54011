"""Run what the rows of the tables ask for, on the durable queues of DBOS Transact."""

import logging
import time
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from threading import Condition, Event, Lock

from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer, EnqueueOptions

from dicomnode.errors import Unavailable
from dicomnode.queue.sparing import spare
from dicomnode.store.database import Database, translated
from dicomnode.store.queueing import QueueName, Transaction

log = logging.getLogger(__name__)

EXECUTOR = "node"  # the same after a restart: what it had begun is begun again
_NAME = "dicomnode"
_VERSION = "1"  # never changed: queued work of another version would never start
_POLL_SECONDS = {QueueName.JOBS: 0.1, QueueName.DELIVERIES: 0.1, QueueName.FETCHES: 1.0}
_MIDDLE = 1000  # DBOS starts the lowest number first, and takes none below 1
_LOST_SECONDS = 30.0  # what DBOS holds for begun and nobody here does for so long is given up
_RECORDED_SECONDS = 2.0
_BEGUN = "PENDING"
_ENDED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]


_started = Lock()  # held while an engine runs


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What is done with each row of a queue, by its key.

    `step` does nothing for a row that has nothing to be done. Unavailable lets the queue pause, and the row waits for
    the sweep; any other exception is a bug: `fail` records its sentence with the row. `side_by_side` rows are worked on
    at a time, or one of each partition where it is None.
    """

    step: Callable[[str], None]
    fail: Callable[[str, str], None]
    side_by_side: int | None


class Engine:
    """The queues of one node; what there is to do stands in our tables, and DBOS keeps whose turn it is.

    There is one that was started a process, as DBOS has it. A bug in here, and not in a step, is told to `on_death`.
    """

    def __init__(self, database: Database, on_death: Callable[[str], None], *, pause: float = 15.0) -> None:
        _quiet()
        self._connections = database.engine_of_queues()
        self._on_death = on_death
        self._pause = pause
        self._is_started = False
        self._stopping = Event()
        self._changed = Condition()
        self._running: set[str] = set()  # ids of workflows
        self._given_back: set[str] = set()
        self._paused_until = dict.fromkeys(QueueName, 0.0)
        self._idle_since: dict[str, float] = {}
        with translated():
            DBOS.migrate(f"sqlite:///{database.path}")
            self._client = DBOSClient(
                system_database_engine=self._connections,
                serializer=DBOSPortableJSONSerializer(),
                application_name=_NAME,
                retry_connection_errors=False,
            )

    def enqueue(
        self, transaction: Transaction, queue: QueueName, key: str, attempt: int, priority: int, partition: str | None
    ) -> None:
        """Let the row `key` have its turn once `transaction` is committed, unless its `attempt` had or has it."""
        options = EnqueueOptions(
            workflow_name=queue.value,
            queue_name=queue.value,
            workflow_id=f"{queue}:{key}:{attempt}",
            priority=_MIDDLE - priority,
        )
        if partition is not None:
            options["queue_partition_key"] = partition
        self._client.enqueue_in_transaction(transaction, options, key)

    def start(self, work: Mapping[QueueName, Work]) -> None:
        """Begin to work, first on what a process before this one had begun."""
        if not _started.acquire(blocking=False):
            raise RuntimeError("another engine runs in this process")
        self._is_started = True
        with translated():
            for queue, what in work.items():
                self._client.register_queue(
                    queue.value,
                    worker_concurrency=what.side_by_side,
                    partition_concurrency=None if what.side_by_side else 1,
                    polling_interval_sec=_POLL_SECONDS[queue],
                )
            engine = DBOS(config=self._config())
            for queue, what in work.items():
                DBOS.workflow(name=queue.value)(_named(queue, partial(self._run, queue, what)))
            DBOS.launch()
            spare(engine)

    def active(self, queue: QueueName) -> frozenset[str]:
        """Return the keys of the rows of `queue` whose turn is still to come, or is now."""
        with translated():
            found = self._client.list_workflows(
                status=["ENQUEUED", _BEGUN], queue_name=queue.value, load_input=False, load_output=False
            )
            lost = self._lost(queue, {one.workflow_id for one in found if one.status == _BEGUN})
            self._client.cancel_workflows(lost)
        return frozenset(_key(one.workflow_id) for one in found if one.workflow_id not in lost)

    def prune(self) -> int:
        """Forget what ended, which our tables know better; return how many turns that was."""
        forgotten = 0
        with translated():
            while ended := self._client.list_workflows(status=_ENDED, limit=1000, load_input=False, load_output=False):
                self._client.delete_workflows([one.workflow_id for one in ended])
                forgotten += len(ended)
        return forgotten

    def halt(self) -> None:
        """Begin nothing new; what is being done goes on."""
        self._stopping.set()

    def join(self, timeout: float) -> bool:
        """Wait `timeout` seconds for what is being done; return whether all of it ended."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, timeout)

    def close(self) -> None:
        """End; what is still being done then, or was not begun, has its turn again in the next process."""
        self.halt()
        deadline = time.monotonic() + _RECORDED_SECONDS
        with suppress(Unavailable):
            while self._unrecorded() and time.monotonic() < deadline:
                time.sleep(0.01)
        try:
            if self._is_started:
                DBOS.destroy(destroy_registry=True)
        finally:
            if self._is_started:
                _started.release()
            self._client.destroy()
            self._connections.dispose()

    def _config(self) -> DBOSConfig:
        return DBOSConfig(
            name=_NAME,
            system_database_engine=self._connections,
            application_version=_VERSION,
            executor_id=EXECUTOR,
            serializer=DBOSPortableJSONSerializer(),
            log_level="WARNING",
            enable_otlp=False,
            scheduler_polling_interval_sec=3600.0,  # nothing is scheduled there
            notification_listener_polling_interval_sec=0.1,  # nothing is notified: it is how long its end takes
        )

    def _run(self, queue: QueueName, work: Work, key: str) -> None:
        """Do the step of one row; this is what DBOS calls, and calls again after a crash."""
        name = DBOS.workflow_id or key
        with self._changed:
            self._running.add(name)
        try:
            self._wait_for_turn(queue, name)
            self._try(queue, work, key)
        except Exception:
            log.exception("the engine failed", extra={"action": "engine_failed"})
            self._on_death(queue)
            raise
        finally:
            with self._changed:
                self._running.discard(name)
                self._changed.notify_all()

    def _wait_for_turn(self, queue: QueueName, name: str) -> None:
        """Wait until the pause of `queue` is over; a node that stops begins nothing."""
        self._stopping.wait(max(self._paused_until[queue] - time.monotonic(), 0))
        if self._stopping.is_set():
            self._given_back.add(name)
            raise _GivenBack

    def _try(self, queue: QueueName, work: Work, key: str) -> None:
        try:
            try:
                work.step(key)
            except Unavailable:
                raise
            except Exception as error:
                told: dict[str, object] = {"action": "step_failed", "queue": queue.value, "key": key}
                log.exception("a bug: a row fails, and the others go on", extra=told)
                work.fail(key, f"a bug: {type(error).__name__}: {error}")
        except Unavailable as error:
            told = {"action": "queue_waits", "seconds": self._pause}
            log.error("the queue of %s waits: %s", queue, error, extra=told)  # noqa: TRY400
            self._paused_until[queue] = time.monotonic() + self._pause

    def _lost(self, queue: QueueName, begun: AbstractSet[str]) -> list[str]:
        """Return which of `begun` nobody has been doing for a while: how they ended could not be recorded."""
        now = time.monotonic()
        with self._changed:
            idle = begun - self._running - self._given_back
        others = {name for name in self._idle_since if not name.startswith(f"{queue}:")}
        self._idle_since = {name: self._idle_since.get(name, now) for name in idle | others}
        return [name for name in idle if now - self._idle_since[name] > _LOST_SECONDS]

    def _unrecorded(self) -> bool:
        """Return whether something ended that DBOS is still to record."""
        with translated():
            found = self._client.list_workflows(status=_BEGUN, load_input=False, load_output=False)
        with self._changed:
            return bool({one.workflow_id for one in found} - self._running - self._given_back)


class _GivenBack(BaseException):
    """A row is not begun because the node stops; nothing that DBOS would record as its end."""


def _quiet() -> None:
    """Let what DBOS logs go the way of all other libraries, and no other."""
    logger = logging.getLogger("dbos")
    logger.setLevel(logging.WARNING)
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())  # it adds one of its own where there is none


def _named(queue: QueueName, run: Callable[[str], None]) -> Callable[[str], None]:
    """Return `run` as a function with a name of its own, which DBOS asks for."""

    def workflow(key: str) -> None:
        run(key)

    workflow.__qualname__ = queue.value
    return workflow


def _key(workflow_id: str) -> str:
    """Return the key of the row in the id of its workflow: `jobs:0123:2`."""
    return workflow_id.partition(":")[2].rpartition(":")[0]
