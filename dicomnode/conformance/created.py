"""Make objects of every kind from made-up studies, and tables of what they hold."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from dicomnode.conformance.markdown import table
from dicomnode.dicom.conformity.comparing import Row
from dicomnode.dicom.conformity.contents import Contents, Specimen, contents_of
from dicomnode.dicom.conformity.seen import Sources, sources_of
from dicomnode.dicom.conformity.variants import Study, write_studies
from dicomnode.dicom.pixels.decoders import Decoders
from dicomnode.dicom.scan import scan
from dicomnode.domain import Code, JobOptions, ObjectKind, SegType, WrittenObject
from dicomnode.inference.classical import IDENTITY, ClassicalRuntime
from dicomnode.network.facts import named
from dicomnode.pipeline import Tools, run
from dicomnode.planning import job_of, plan

# Of colour images, which are not among those made up: the title, and the class of their presentation states.
OF_COLOURS = ("Presentation state of colour images", "1.2.840.10008.5.1.4.1.1.11.2")

_TITLES: Mapping[ObjectKind, str] = {
    ObjectKind.SEG: "Segmentation",
    ObjectKind.SR: "Structured report",
    ObjectKind.RTSTRUCT: "RT structure set",
    ObjectKind.SC: "Secondary capture",
    ObjectKind.PR: "Presentation state",
}
# Of each study: the regions that are segmented, and those for a label map, which holds no region inside another.
_REGIONS = (
    ("BODY|Liver|Kidney_L|GTV_1", "Liver|Kidney_L|GTV_1"),
    ("Spleen|Aorta", "Spleen|Aorta"),
    ("GTV_1", "GTV_1"),
)
_HEADINGS = ("Attribute", "Tag", "VR", "Type", "Presence", "Source", "Fixed value")


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A kind of object that was made, the type of a segmentation, and what such objects hold."""

    kind: ObjectKind
    type: SegType | None
    contents: Contents

    @property
    def title(self) -> str:
        """Return what it is called in headings."""
        return f"{_TITLES[self.kind]}, {self.type}" if self.type else _TITLES[self.kind]


class _AnotherModel(ClassicalRuntime):
    """The model under other names, to see what of an object is the model's."""

    identity = replace(
        IDENTITY,
        name="another",
        version="2",
        family=Code(value="123110", scheme="DCM", meaning="Artificial Intelligence"),
        source="another",
    )


def make_objects() -> tuple[Made, ...]:
    """Return what objects of every kind hold, from those of two studies that differ in everything, and a bare one."""
    with TemporaryDirectory(prefix="dicomnode-") as folder, Decoders() as decoders:
        studies = write_studies(Path(folder))
        sources = [sources_of(study.files, _serial_number(index)) for index, study in enumerate(studies)]
        found = [_objects(study, index, decoders) for index, study in enumerate(studies)]
    kinds = list(ObjectKind)
    return tuple(
        Made(kind=kind, type=seg_type, contents=_contents([of_study[kind, seg_type] for of_study in found], sources))
        for kind, seg_type in sorted(found[0], key=lambda one: kinds.index(one[0]))
    )


def _objects(study: Study, index: int, decoders: Decoders) -> dict[tuple[ObjectKind, SegType | None], WrittenObject]:
    """Return an object of each kind, and a segmentation of each type, made of `study`."""
    runtime = _AnotherModel() if index == 1 else ClassicalRuntime()
    instances, _ = scan(study.files)
    (pair,) = plan(instances).pairs
    found: dict[tuple[ObjectKind, SegType | None], WrittenObject] = {}
    for seg_type in SegType:
        options = JobOptions(
            roi=_REGIONS[index][seg_type is SegType.LABELMAP],
            roi_types=("EXTERNAL",),
            device_serial_number=_serial_number(index),
            objects=tuple(ObjectKind) if seg_type is SegType.BINARY else (ObjectKind.SEG,),
            seg_types=(seg_type,),
        )
        outcome = run(job_of(pair, options, runtime.identity), Tools(runtime=runtime, decoders=decoders))
        for made in outcome.objects:
            found.setdefault((made.kind, made.alternative if made.kind is ObjectKind.SEG else None), made)
    return found


def _serial_number(index: int) -> str:
    return f"number {index}"


def _contents(objects: list[WrittenObject], sources: list[Sources]) -> Contents:
    first, second, bare = (
        Specimen(content=made.content, sources=of_study) for made, of_study in zip(objects, sources, strict=True)
    )
    return contents_of((first, second), bare)


def _rows(rows: tuple[Row, ...]) -> str:
    return table(_HEADINGS, _cells(rows))


def _cells(rows: tuple[Row, ...]) -> Iterator[tuple[object, ...]]:
    for row in rows:
        name = f"{'>' * row.depth} {row.name}".strip()
        yield name, row.tag, row.vr, row.type, row.presence, row.source, row.fixed


def sections(made: tuple[Made, ...]) -> str:
    """Return a section for each kind of object, under headings of the fifth level, each module once for all alike."""
    first: dict[str, int] = {}
    parts = []
    for number, one in enumerate(made, start=1):
        parts.append(f"##### 8.1.1.{number} {one.title}: {named(one.contents.sop_class_uid).name}")
        for module, rows in one.contents.modules:
            text = f"**{module.name}** ({module.usage})\n\n{_rows(rows)}"
            same = first.setdefault(text, number)
            parts.append(text if same == number else f"**{module.name}** ({module.usage}): as in section 8.1.1.{same}")
    return "\n\n".join(parts)


def code_table(made: tuple[Made, ...]) -> str:
    """Return the codes that all objects of a kind have."""
    rows = [(one.title, *code) for one in made for code in one.contents.codes]
    return table(("Object", "In", "Code Value", "Coding Scheme", "Code Meaning"), rows)


def template_table(made: tuple[Made, ...]) -> str:
    """Return the templates that reports say they follow."""
    rows = [(one.title, *template) for one in made for template in one.contents.templates]
    return table(("Object", "Mapping resource", "Template"), rows)


def class_table(made: tuple[Made, ...]) -> str:
    """Return the SOP class of each kind of object."""
    pairs = [*((one.title, one.contents.sop_class_uid) for one in made), OF_COLOURS]
    rows = [(title, *reversed(named(uid))) for title, uid in pairs]
    return table(("Object", "SOP class", "UID"), rows)


def extension_table(made: tuple[Made, ...]) -> str:
    """Return the attributes of objects that stand in no module of their IOD."""
    rows = [(one.title, row.name, row.tag, row.vr, row.source) for one in made for row in one.contents.extended]
    return table(("Object", "Attribute", "Tag", "VR", "Source"), rows)
