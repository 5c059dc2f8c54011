"""Segment what is annotated in files and folders: the middle of the node, without network, queue or database."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.dicom.preview import draw
from dicomnode.dicom.prompts.written import WrittenBox
from dicomnode.dicom.prompts.written_pairs import pair_written
from dicomnode.dicom.results.syntaxes import in_syntax
from dicomnode.dicom.scan import scan
from dicomnode.dicom.stack import read_stack
from dicomnode.domain import (
    SEG_ONLY,
    Annotation,
    Exclusion,
    Job,
    JobOptions,
    LeftOut,
    ModelIdentity,
    ObjectKind,
    OutputProfile,
    Segment,
    StackImages,
    Uid,
    WrittenObject,
    WrittenVolume,
)
from dicomnode.errors import Refused
from dicomnode.inference.runtime import Runtime
from dicomnode.pipeline import Step, Tools, prompts_of, run
from dicomnode.planning import Plan, job_of, plan

_TAIL = 12  # characters of a UID that name a file, and more where that is not unique


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedObject:
    """One object that was written, and where."""

    kind: ObjectKind
    path: Path
    sop_instance_uid: Uid


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What one annotation on one stack gave, and how many seconds each step took.

    `volumes` are the NIfTI files by the number of their segment.
    """

    job: Job
    model: ModelIdentity
    objects: tuple[SavedObject, ...]
    preview: Path | None
    volumes: Mapping[int, Path]
    segments: tuple[Segment, ...]
    notes: tuple[str, ...]
    seconds: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report(LeftOut):
    """What there was, what was made of it, and what was not and why; `failures` are what could not be written."""

    stacks: tuple[StackImages, ...]
    annotations: tuple[Annotation, ...]
    results: tuple[Result, ...]
    failures: tuple[str, ...] = ()


def _tell_nobody(_title: str, _step: Step, _done: int, _total: int) -> None:
    pass


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """How to segment: where results go, how annotations are read, whether to draw previews, whom to tell how far it is.

    `profile` says which objects to make, in which form, whatever `options` say of that. `boxes` are prompts beside
    those that are found; `own_results` tells that what dicomnode made is a prompt too; `nifti` asks for the masks as
    NIfTI volumes too.
    """

    output: Path
    options: JobOptions
    preview: bool = False
    progress: Callable[[str, Step, int, int], None] = _tell_nobody
    profile: OutputProfile = SEG_ONLY
    boxes: tuple[WrittenBox, ...] = ()
    own_results: bool = False
    nifti: bool = False


def segment_paths(paths: Iterable[Path], runtime: Runtime, wishes: Wishes) -> Report:
    """Segment every annotation in `paths` on the stacks it means, and the boxes of `wishes`; return what was done."""
    instances, left_out = scan(paths)
    found = plan(instances, own_results=wishes.own_results)
    with TemporaryDirectory(prefix="dicomnode-") as folder:
        written, meaningless = pair_written(wishes.boxes, found.stacks, Path(folder))
        found = replace(
            found,
            annotations=(*found.annotations, *(pair.annotation for pair in written)),
            pairs=(*found.pairs, *written),
            left_out=(*left_out, *found.left_out, *meaningless),
        )
        return _segment_all(found, runtime, wishes)


def save_objects(objects: Iterable[WrittenObject], stem: Path) -> Iterator[SavedObject]:
    """Write each of `objects` to a file whose name begins with `stem`, whole or not at all, and say where.

    No reader finds half a file. From the second object of its kind on a name bears its number.
    """
    counts: Counter[ObjectKind] = Counter()
    for made in objects:
        counts[made.kind] += 1
        numbered = f"-{counts[made.kind]}" if counts[made.kind] > 1 else ""
        path = stem.with_name(f"{stem.name}_{made.kind}{numbered}.dcm")
        _write_whole(path, made.content)
        yield SavedObject(kind=made.kind, path=path, sop_instance_uid=made.sop_instance_uid)


def _save_volumes(volumes: Sequence[WrittenVolume], stem: Path) -> dict[int, Path]:
    """Write each of `volumes` to a file of its own beside the SEG, and say where, by the number of its segment."""
    paths = {made.segment: stem.with_name(f"{stem.name}_SEG_{made.segment}.nii.gz") for made in volumes}
    for made in volumes:
        _write_whole(paths[made.segment], made.content)
    return paths


def _write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_bytes(content)
    os.replace(part, path)  # noqa: PTH105 - atomic, and says so


@dataclass(frozen=True, kw_only=True, slots=True)
class _Done:
    """What has been done so far: kept job by job, so that a later failure takes nothing away."""

    exclusions: list[Exclusion]
    results: list[Result] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def _segment_all(found: Plan, runtime: Runtime, wishes: Wishes) -> Report:
    """Do the jobs of `found` one after the other; write what each gives, whatever becomes of the others."""
    options = replace(wishes.options, objects=wishes.profile.objects, seg_types=wishes.profile.first_types)
    jobs = [job_of(pair, options, runtime.identity) for pair in found.pairs]
    folders = _short({job.images.series_uid for job in jobs})
    names = _short({job.annotation.sop_instance_uid for job in jobs})
    done = _Done(exclusions=list(found.exclusions))
    with Decoders() as decoders:
        tools = Tools(runtime=runtime, decoders=decoders)
        for number, job in enumerate(jobs, start=1):
            target = wishes.output / f"{folders[job.images.series_uid]}-{job.images.key.rpartition('/')[2]}"
            stem = (target / names[job.annotation.sop_instance_uid]).absolute()
            try:
                _segment(job, tools, wishes, (stem, f"{number}/{len(jobs)}"), done)
            except Refused as error:
                done.exclusions.append(Exclusion.of(error))
            except OSError as error:
                done.failures.append(f"{stem}: {error}")
    return Report(
        stacks=found.stacks,
        annotations=found.annotations,
        results=tuple(done.results),
        exclusions=tuple(done.exclusions),
        failures=tuple(done.failures),
    )


def _segment(job: Job, tools: Tools, wishes: Wishes, place: tuple[Path, str], done: _Done) -> None:
    stem, title = place
    watch = _Stopwatch()

    def progress(step: Step, count: int, total: int) -> None:
        watch.at(step)
        wishes.progress(title, step, count, total)

    outcome = run(job, replace(tools, progress=progress, volumes=wishes.nifti))
    done.exclusions.extend(outcome.exclusions)
    objects = tuple(save_objects(_in_form(outcome.objects, wishes.profile), stem))
    if not objects:
        return
    result = Result(
        job=job,
        model=tools.runtime.identity,
        objects=objects,
        preview=None,
        volumes=_save_volumes(outcome.volumes, stem),
        segments=outcome.segments,
        notes=outcome.notes,
        seconds=watch.stop(),
    )
    done.results.append(result)
    if wishes.preview:
        picture = stem.with_name(f"{stem.name}_SEG.png")
        stack = read_stack(job.images, tools.decoders)
        segs = [made.content for made in wishes.profile.chosen(outcome.objects) if made.kind is ObjectKind.SEG]
        draw(stack, prompts_of(job, stack, tools).prompts, segs, picture)
        done.results[-1] = replace(result, preview=picture)


def _in_form(objects: Iterable[WrittenObject], profile: OutputProfile) -> Iterator[WrittenObject]:
    """Yield those of `objects` that `profile` wants, each in the syntax that it wants most."""
    for made in profile.chosen(objects):
        yield replace(made, content=in_syntax(made.content, profile.syntaxes(made)[0]))


def _short(uids: Iterable[Uid]) -> dict[Uid, str]:
    """Return the ending of each UID that names its files: the same length for all, long enough to be unique."""
    known = list(uids)
    length = next(size for size in range(_TAIL, 65) if len({_tail(uid, size) for uid in known}) == len(known))
    return {uid: _tail(uid, length) for uid in known}


def _tail(uid: Uid, length: int) -> str:
    return uid[-length:].lstrip(".")


class _Stopwatch:
    """Measures how long each step takes, from the moments they begin."""

    def __init__(self) -> None:
        self._begun: list[tuple[str, float]] = []

    def at(self, step: Step) -> None:
        if not self._begun or self._begun[-1][0] != step:
            self._begun.append((step.value, time.perf_counter()))

    def stop(self) -> dict[str, float]:
        ends: Sequence[tuple[str, float]] = [*self._begun[1:], ("end", time.perf_counter())]
        seconds = {name: end - start for (name, start), (_, end) in zip(self._begun, ends, strict=True)}
        return {**seconds, "total": ends[-1][1] - self._begun[0][1]}
