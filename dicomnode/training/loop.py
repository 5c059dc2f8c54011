"""The trainer: takes any task from its first step to its last, keeps what it comes to, and goes on where it was ended.

What is random depends on the seed and the number of a step alone, so that a training that is ended anywhere and
continued gives the same table, bit for bit on a CPU with as many threads.
"""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import torch

from dicomnode.errors import Reason, Refused
from dicomnode.training.ahead import batches_of
from dicomnode.training.checkpoints import BEST_NAME, LATEST_NAME, Best, read_checkpoint, write_checkpoint
from dicomnode.training.curve import CURVE_NAME, draw_curve
from dicomnode.training.history import HISTORY_NAME, append_row, cut_history, read_history
from dicomnode.training.schedule import Schedule, Tail, check_same, settings_of
from dicomnode.training.state import State
from dicomnode.training.task import LOSS, Task
from dicomnode.training.together import Seat, device_of, run_together

__all__ = ["Result", "Schedule", "Tail", "Task", "Told", "train"]


class Told(NamedTuple):
    """How far a training is: the row of its table that was just written, and the best validation so far."""

    steps: int
    row: Mapping[str, float]
    best: Best


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What a training came to; where it was ended before its last step, `finished` is False."""

    step: int
    best: Best
    finished: bool


def _tell_nobody(_told: Told) -> None:
    pass


def train(task: Task, schedule: Schedule, folder: Path, progress: Callable[[Told], None] = _tell_nobody) -> Result:
    """Train as `schedule` says, with all that is kept in `folder`; go on where that has a training with these settings.

    There are latest.pt, from which it goes on, best.pt, whose `model` is the state dict with the least validation loss,
    history.csv, a row a validation, and curve.png. SIGINT and SIGTERM end it after a step, with all kept. For several
    GPUs `progress` is pickled, too. A loss that is no number any more is refused (FAILED_CHECK).
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = read_checkpoint(folder / LATEST_NAME)
    if kept:
        check_same(kept["settings"], settings_of(schedule, task.settings), str(folder))
    del kept
    call = _Call(task, schedule, folder, progress)
    if schedule.gpus > 1:
        run_together(_run, call, schedule.device, schedule.gpus)
    else:
        _run(Seat(device=device_of(schedule.device)), call)
    return result_in(folder, schedule)


def result_in(folder: Path, schedule: Schedule) -> Result:
    """Return what the training in `folder` has come to."""
    kept = read_checkpoint(folder / LATEST_NAME)
    if kept is None:
        raise Refused(Reason.BAD_MODEL, str(folder), "there is no training in it")
    return Result(step=kept["step"], best=Best(**kept["best"]), finished=kept["step"] >= schedule.steps)


class _Call(NamedTuple):
    task: Task
    schedule: Schedule
    folder: Path
    progress: Callable[[Told], None]


def _run(seat: Seat, call: _Call) -> None:
    """Train in one process, of several or alone."""
    task, schedule, folder, _ = call
    kept = read_checkpoint(folder / LATEST_NAME)
    first = kept["step"] if kept else 0
    numbers = range(first * seat.count + seat.number, schedule.steps * seat.count, seat.count)
    flags = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with flags, _asked_to_end() as asked, batches_of(task, numbers, schedule.workers) as batches:
        try:
            state = State(task, schedule, seat)
            if kept:
                state.restore(kept)
            if seat.first:
                cut_history(folder / HISTORY_NAME, first if kept else None)
            _steps(state, call, batches, asked)
        except torch.OutOfMemoryError as error:
            raise Refused(Reason.LIMIT, "training", "the GPU has no memory for it: make the batch smaller") from error


def _steps(state: State, call: _Call, batches: Iterator[Any], asked: Callable[[], bool]) -> None:
    """Take the steps that are left, and validate and keep at every so many."""
    schedule, seat = call.schedule, state.seat
    if state.best is None:
        state.look(call.task.batch(seat.number))
        _validate(state, call)
        _keep(state, call)
    while state.step < schedule.steps:
        if seat.any(asked()):
            _keep(state, call)
            return
        state.advance(next(batches))
        last = state.step == schedule.steps
        if last or state.step % schedule.validate_every == 0:
            _validate(state, call)
        if last or state.step % schedule.checkpoint_every == 0:
            _keep(state, call)


def _validate(state: State, call: _Call) -> None:
    """Add a row to the table, draw it, and keep the network if it is the best so far."""
    figures = state.validated() if state.seat.first else {LOSS: 0.0}
    loss = state.seat.told(figures[LOSS])
    train = state.means()
    if not (isfinite(loss) and state.seat.told(float(isfinite(train[LOSS])))):
        detail = f"its loss is no number any more at step {state.step}: a lower rate or precision fp32 may help"
        raise Refused(Reason.FAILED_CHECK, "training", detail)
    better = state.best is None or loss < state.best.figures[LOSS]
    row = {
        "step": state.step,
        "rate": state.rate,
        **{f"train_{name}": value for name, value in train.items()},
        **{f"validation_{name}": value for name, value in figures.items()},
    }
    state.after_validation(loss)
    if better:
        state.best = Best(step=state.step, figures=figures)
    if state.seat.first and state.best:
        append_row(call.folder / HISTORY_NAME, row)
        draw_curve(read_history(call.folder / HISTORY_NAME), call.folder / CURVE_NAME)
        if better:
            write_checkpoint({"model": state.weights(), **asdict(state.best)}, call.folder / BEST_NAME)
        call.progress(Told(call.schedule.steps, row, state.best))


def _keep(state: State, call: _Call) -> None:
    if state.seat.first:
        settings = settings_of(call.schedule, call.task.settings)
        write_checkpoint({"settings": settings, **state.kept()}, call.folder / LATEST_NAME)


@contextmanager
def _asked_to_end() -> Iterator[Callable[[], bool]]:
    """Open a question whether SIGINT or SIGTERM came; a thread beside the main one gets no signals."""
    asked = threading.Event()

    def note(_number: int, _frame: FrameType | None) -> None:
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
