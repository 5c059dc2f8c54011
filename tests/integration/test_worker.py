import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Timer

import numpy as np
import pytest
from numpy.typing import NDArray

from dicomnode.dicom.instances import describe
from dicomnode.domain import Job, JobOptions, Outcome
from dicomnode.errors import EngineFailed, ModelLost, Reason, Refused, Unavailable
from dicomnode.inference.loading import ModelWish
from dicomnode.planning import job_of, plan
from dicomnode.worker import LoadRuntime, Worker, WorkerLimits
from tests.builders import ct_series, rtstruct, save, square
from tests.fakes import EndsTheProcess, FillsTheBox, Size


@dataclass(frozen=True, slots=True)
class EndsTheProcessOnce(FillsTheBox):
    """A model that ends its process, but only the first time."""

    flag: Path = Path()

    def __call__(self) -> "EndsTheProcessOnce":
        return self

    def encode(self, images: Sequence[NDArray[np.float32]], spacing: tuple[float, float]) -> list[Size]:
        """End the process the first time."""
        if not self.flag.exists():
            self.flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return FillsTheBox.encode(self, images, spacing)


@dataclass(frozen=True, slots=True)
class IsLost(EndsTheProcessOnce):
    """A model that ends its process, and is not there any more when it is to be loaded again."""

    def __call__(self) -> "IsLost":
        if self.flag.exists():
            raise Refused(Reason.BAD_MODEL, "model 'ours'", "weights.safetensors cannot be read")
        return self


@dataclass(frozen=True, slots=True)
class BreaksItsEngine(FillsTheBox):
    """A model whose engine works in no process in which it broke before, and warns of it."""

    broken: list[int] = field(default_factory=list, compare=False)

    def __call__(self) -> "BreaksItsEngine":
        return self

    def encode(self, images: Sequence[NDArray[np.float32]], spacing: tuple[float, float]) -> list[Size]:  # noqa: ARG002
        """Break, and tell in which process and how often."""
        self.broken.append(1)
        told = {"action": "engine_broke"}
        logging.getLogger("dicomnode.test").warning("broken %d times", len(self.broken), extra=told)
        logging.getLogger("other").error("of a patient")
        raise EngineFailed(f"{os.getpid()}")


@dataclass(frozen=True, slots=True)
class NeverEnds(FillsTheBox):
    """A model that hangs."""

    def encode(self, images: Sequence[NDArray[np.float32]], spacing: tuple[float, float]) -> list[Size]:  # noqa: ARG002
        """Hang."""
        time.sleep(3600)
        raise AssertionError("unreachable")


@dataclass(frozen=True, slots=True)
class NeedsMemoryOnce(FillsTheBox):
    """A model that needs 8 GiB, but only the first time."""

    asked: list[int] = field(default_factory=list, compare=False)

    def __call__(self) -> "NeedsMemoryOnce":
        return self

    def encode(self, images: Sequence[NDArray[np.float32]], spacing: tuple[float, float]) -> list[Size]:
        """Ask for the memory the first time."""
        if not self.asked:
            self.asked.append(1)
            np.ones(1 << 30)
        return FillsTheBox.encode(self, images, spacing)


@dataclass(frozen=True, slots=True)
class HasABug(FillsTheBox):
    """A model with a bug."""

    def encode(self, images: Sequence[NDArray[np.float32]], spacing: tuple[float, float]) -> list[Size]:  # noqa: ARG002
        """Raise what nobody expects."""
        raise ZeroDivisionError("a bug")


def end_the_process() -> FillsTheBox:
    """End the process instead of loading a model."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    images = ct_series()
    drawn = rtstruct(images, {"liver": [square(10, 8, 20, 16, 2.5)]})
    found = [describe(path, path=path, digest=path.name) for path in save([*images, drawn], tmp_path / "study")]
    return job_of(plan(found).pairs[0], JobOptions(), FillsTheBox().identity)


@pytest.fixture
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    load: LoadRuntime = request.param
    worker = Worker(load, WorkerLimits(deadline=60))
    yield worker
    worker.stop()


@pytest.mark.parametrize("worker", [FillsTheBox], indirect=True)
def test_the_model_says_who_it_is(worker: Worker) -> None:
    assert worker.identity() == FillsTheBox().identity


@pytest.mark.parametrize("worker", [ModelWish(name="none", folder=Path("/nowhere"))], indirect=True)
def test_a_model_that_is_not_there_is_refused(worker: Worker) -> None:
    with pytest.raises(Refused) as refused:
        worker.identity()
    assert refused.value.reason is Reason.BAD_SETTING


@pytest.mark.parametrize("worker", [end_the_process], indirect=True)
def test_a_model_that_ends_the_process_when_it_is_loaded_is_unavailable(worker: Worker) -> None:
    with pytest.raises(Unavailable, match="the process of the model ended before it was ready"):
        worker.identity()


@pytest.mark.parametrize("worker", [FillsTheBox], indirect=True)
def test_a_job_gives_its_outcome_and_the_same_bytes_again(worker: Worker, job: Job) -> None:
    first, second = worker.run(job), worker.run(job)
    assert isinstance(first, Outcome)
    assert isinstance(second, Outcome)
    assert [found.content for found in first.objects] == [found.content for found in second.objects]


@pytest.mark.parametrize("worker", [EndsTheProcess], indirect=True)
def test_a_job_that_ends_the_process_is_an_error_of_the_job(worker: Worker, job: Job) -> None:
    found = worker.run(job)
    assert isinstance(found, Unavailable)
    assert str(found) == "the job ended the process that ran it"


def test_a_crash_names_the_model_and_its_engine(job: Job, tmp_path: Path) -> None:
    chosen = (("weights", "sha256:1"), ("engine", "onnx 1"), ("device", "cpu"), ("precision", "fp32"), ("chosen", "-"))
    model = replace(FillsTheBox().identity, name="ours", parameters=chosen)
    worker = Worker(IsLost(identity=model, flag=tmp_path / "crashed"))
    worker.identity()
    crash, lost = worker.run(job), worker.run(job)
    assert str(crash) == "the job ended the process that ran it, with the model 'ours' on onnx 1, cpu, fp32"
    assert isinstance(lost, ModelLost)
    assert str(lost) == "model 'ours': BAD_MODEL: weights.safetensors cannot be read"
    worker.stop()


def test_an_engine_that_failed_is_started_anew_and_its_warnings_are_logged(
    job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(BreaksItsEngine())
    first, second = worker.run(job), worker.run(job)
    assert isinstance(first, EngineFailed)
    assert isinstance(second, EngineFailed)
    assert str(first) != str(second)
    worker.stop()
    deadline = time.monotonic() + 5
    while len(caplog.records) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    told = [(one.name, one.action, one.getMessage()) for one in caplog.records]  # type: ignore[attr-defined]
    assert told == [("dicomnode.test", "engine_broke", "broken 1 times")] * 2


def test_a_model_that_is_not_ready_in_time_is_unavailable() -> None:
    worker = Worker(FillsTheBox, WorkerLimits(deadline=0.01))
    with pytest.raises(Unavailable, match=r"the model was not ready within 0\.01 s"):
        worker.identity()
    worker.stop()


def test_after_a_crash_the_next_job_runs_in_a_new_process(job: Job, tmp_path: Path) -> None:
    worker = Worker(EndsTheProcessOnce(flag=tmp_path / "crashed"))
    assert isinstance(worker.run(job), Unavailable)
    assert isinstance(worker.run(job), Outcome)
    worker.stop()


def test_a_job_that_needs_more_memory_than_it_may_have_is_refused_and_the_next_one_runs(job: Job) -> None:
    worker = Worker(NeedsMemoryOnce(), WorkerLimits(memory_bytes=3 << 30))
    refused = worker.run(job)
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.what) == (Reason.LIMIT, f"stack {job.images.key}")
    assert isinstance(worker.run(job), Outcome)
    worker.stop()


@pytest.mark.parametrize("worker", [HasABug], indirect=True)
def test_a_bug_comes_back_as_what_it_is(worker: Worker, job: Job) -> None:
    assert isinstance(worker.run(job), ZeroDivisionError)


def test_a_job_that_does_not_end_is_broken_off(job: Job) -> None:
    worker = Worker(NeverEnds, WorkerLimits(deadline=2))
    assert str(worker.run(job)) == "the job took longer than 2 s"
    worker.stop()


def test_a_stop_breaks_the_running_job_off(job: Job) -> None:
    worker = Worker(NeverEnds)
    worker.identity()
    Timer(0.3, worker.stop).start()
    assert worker.run(job) is None
    assert worker.run(job) is None


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import multiprocessing, time\n"
        "from dicomnode.worker import Worker\n"
        "from tests.fakes import FillsTheBox\n"
        "if __name__ == '__main__':\n"
        "    worker = Worker(FillsTheBox)\n"
        "    worker.identity()\n"
        "    print(multiprocessing.active_children()[0].pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert _is_alive(child)
        parent.kill()
    deadline = time.monotonic() + 10
    while _is_alive(child):
        assert time.monotonic() < deadline, "the child outlives its parent"
        time.sleep(0.05)


def _is_alive(process: int) -> bool:
    """Return whether `process` runs, a zombie that nobody has waited for does not."""
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
