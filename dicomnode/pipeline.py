"""One job: the straight line from a stack and an annotation to finished objects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from dicomnode.dicom.naming import tables_of
from dicomnode.dicom.notes import notes_of
from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.dicom.prompts.read import Asked, Means, read_prompts
from dicomnode.dicom.results.check import check
from dicomnode.dicom.results.findings import findings_of
from dicomnode.dicom.results.nifti import write_volumes
from dicomnode.dicom.results.nifti_check import check_volumes
from dicomnode.dicom.results.objects import Written, write_objects
from dicomnode.dicom.stack import read_stack
from dicomnode.domain import Exclusion, Job, Mask, Outcome, Prompts, Stack, WrittenVolume
from dicomnode.errors import Reason, Refused
from dicomnode.inference.feature_cache import FeatureCache
from dicomnode.inference.runtime import Runtime
from dicomnode.inference.segmenter import nothing_found, segment, summarise, with_boxes


class Step(StrEnum):
    """The steps of a job, in order."""

    READ = "read"
    PROMPTS = "prompts"
    SEGMENT = "segment"
    WRITE = "write"


def _tell_nobody(_step: Step, _done: int, _total: int) -> None:
    pass


@dataclass(frozen=True, kw_only=True, slots=True)
class Tools:
    """What a job works with: the model, decoders of pixels, what is kept of images, and whom to tell.

    `features` are those of earlier jobs; `progress` is told (step, done, total). `volumes` asks for the masks as NIfTI
    volumes too, beside what is delivered.
    """

    runtime: Runtime
    decoders: Decoders
    features: FeatureCache = field(default_factory=FeatureCache)
    progress: Callable[[Step, int, int], None] = _tell_nobody
    volumes: bool = False


def prompts_of(job: Job, stack: Stack, tools: Tools) -> Prompts:
    """Return what the annotation of `job` shows on `stack`, for the model at hand."""
    asked = Asked(
        annotation=job.annotation, companions=job.companions, options=job.options, elsewhere=frozenset(job.elsewhere)
    )
    tables = tables_of(job.options.labels, job.options.names_digest)
    return read_prompts(
        asked, stack, Means(decoders=tools.decoders, tables=tables, least_side=tools.runtime.least_side)
    )


def run(job: Job, tools: Tools) -> Outcome:
    """Segment the images of `job`; return the objects to deliver."""
    tools.progress(Step.READ, 0, len(job.images.planes))
    stack = read_stack(job.images, tools.decoders, lambda done, total: tools.progress(Step.READ, done, total))
    tools.progress(Step.PROMPTS, 0, 1)
    found = prompts_of(job, stack, tools)
    tools.progress(Step.SEGMENT, 0, 1)
    prompts, without = with_boxes(found.prompts)
    masks = segment(
        stack,
        prompts,
        tools.runtime,
        job.options,
        cache=tools.features,
        progress=lambda done, total: tools.progress(Step.SEGMENT, done, total),
    )
    tools.progress(Step.WRITE, 0, 1)
    findings = findings_of(masks, stack, job.annotation, tools.runtime.identity, job.options.device_serial_number)
    written = write_objects(findings, job.options)
    # re-reads what was written, plane by plane, in patient space
    check(written.objects, masks, stack, job.options.objects)
    volumes, no_grid = _volumes(masks, stack) if tools.volumes and written.objects else ((), ())
    tools.progress(Step.WRITE, 1, 1)
    nothing = (*nothing_found(masks), *_nothing_made(written, stack))
    exclusions = (*stack.exclusions, *found.exclusions, *without, *nothing, *no_grid)
    notes = (*notes_of(job, stack, masks), *written.notes)
    return Outcome(
        objects=written.objects,
        segments=summarise(masks, stack),
        exclusions=exclusions,
        notes=notes,
        volumes=volumes,
    )


def _nothing_made(written: Written, stack: Stack) -> tuple[Exclusion, ...]:
    """Return why there is no object at all, where something was found: a note beside an object has none to stand by."""
    if written.objects:
        return ()
    what = f"stack {stack.key}"
    return tuple(Exclusion(what=what, reason=Reason.NO_GEOMETRY, detail=note) for note in written.notes)


def _volumes(masks: Sequence[Mask], stack: Stack) -> tuple[tuple[WrittenVolume, ...], tuple[Exclusion, ...]]:
    """Return the volumes of `masks`, or why there are none: that takes nothing from what is delivered."""
    try:
        volumes = write_volumes(masks, stack)
        check_volumes(volumes, masks, stack)  # re-reads what was written
    except Refused as error:
        return (), (Exclusion.of(error),)
    return volumes, ()
