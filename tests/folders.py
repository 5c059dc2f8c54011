"""From a folder of DICOM files to a job, a stack or prompts in one call."""

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmread

from dicomnode import pipeline
from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.dicom.scan import scan
from dicomnode.dicom.stack import read_stack
from dicomnode.domain import Job, JobOptions, Outcome, Prompts, Stack, StackImages
from dicomnode.pipeline import Tools, run
from dicomnode.planning import job_of, plan
from tests.builders import save
from tests.fakes import FillsTheBox


def job_in(folder: Path, options: JobOptions | None = None) -> Job:
    """Return the only job that the files in `folder` make."""
    instances, _ = scan([folder])
    (pair,) = plan(instances).pairs
    return job_of(pair, options or JobOptions(), FillsTheBox().identity)


def stack_of(images: Iterable[Dataset], folder: Path) -> Stack:
    """Save `images` into `folder` and return the only stack they make."""
    save(images, folder)
    return stack_in(folder)


def stack_in(folder: Path) -> Stack:
    """Return the only stack that the files in `folder` make."""
    instances, _ = scan([folder])
    (stack,) = plan(instances).stacks
    return planes_of(stack)


def planes_of(images: StackImages) -> Stack:
    """Return the stack of `images` with its pixels."""
    with Decoders() as decoders:
        return read_stack(images, decoders)


def prompts_of(
    images: Iterable[Dataset], structure_set: Dataset, folder: Path, options: JobOptions | None = None
) -> tuple[Prompts, Stack]:
    """Save everything into `folder` and return the prompts of `structure_set` on the stack it means."""
    save([*images, structure_set], folder)
    job = job_in(folder, options)
    return prompts_in(job), planes_of(job.images)


def prompts_in(job: Job) -> Prompts:
    """Return what the annotation of `job` shows, for a model that fills its boxes."""
    with Decoders() as decoders:
        stack = read_stack(job.images, decoders)
        return pipeline.prompts_of(job, stack, Tools(runtime=FillsTheBox(), decoders=decoders))


def outcome_of(images: Iterable[Dataset], structure_set: Dataset, folder: Path) -> Outcome:
    """Save everything into `folder` and segment it with a model that fills its boxes."""
    save([*images, structure_set], folder)
    with Decoders() as decoders:
        return run(job_in(folder), Tools(runtime=FillsTheBox(), decoders=decoders))


def seg_of(images: Iterable[Dataset], structure_set: Dataset, folder: Path) -> Dataset:
    """Return the SEG that `outcome_of` makes, as it stands in a file."""
    (written,) = outcome_of(images, structure_set, folder).objects
    return dcmread(BytesIO(written.content))
