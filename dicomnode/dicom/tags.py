"""Read what may tell planes at the same place apart: echo, b-value, time, phase, kind of image, kernel, dimension."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pydicom import Dataset
from pydicom.datadict import keyword_for_tag
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag

from dicomnode.dicom.reading import PARSER_ERRORS, first_item, items, value_of
from dicomnode.domain import Tags

_ORIGIN = (
    "ImageType values 1-2"  # how an image came to be: original or derived, primary or secondary (PS3.3 C.7.6.1.1.2)
)
#: what may split a series, in the order in which it is tried; names are those of single-frame images
SPLITTERS = (
    *("EchoNumbers", "EchoTime", "DiffusionBValue", "DiffusionGradientOrientation"),
    *("AcquisitionNumber", "TemporalPositionIdentifier", "NominalPercentageOfCardiacPhase", "TriggerTime"),
    *("ImageType", "ConvolutionKernel", "InversionTime", "FlipAngle", "KVP", "SliceThickness", _ORIGIN),
    *("FrameReferenceTime", "AcquisitionTime", "ContentTime", "SOPInstanceUID"),
)
_TYPES = {_ORIGIN: slice(2), "ImageType": slice(2, None)}  # the first two values do not say what an image shows
#: those that go on from plane to plane: the first, second, ... at each place belong together
TIMES = frozenset({"TriggerTime", "FrameReferenceTime", "AcquisitionTime", "ContentTime"})
_DATED = {"AcquisitionTime": "AcquisitionDate", "ContentTime": "ContentDate"}
_PLACES = frozenset({"ImagePositionPatient", "ImageOrientationPatient", "InStackPositionNumber", "StackID"})
_PRIVATE_B_VALUES = (  # (group, creator, element)
    (0x0019, "SIEMENS MR HEADER", 0x0C),
    (0x0043, "GEMS_PARM_01", 0x39),
    (0x2001, "Philips Imaging DD 001", 0x03),
)
_GE_B_VALUE_OFFSET = 1e9  # GE adds it to the b-value of multi-directional scans


class _Element(NamedTuple):
    """Where a multi-frame image states a tag: sequences down to the element, and what the tag is called."""

    path: tuple[str, ...]
    keyword: str
    name: str


_IN_GROUPS = (
    _Element(("MREchoSequence",), "EffectiveEchoTime", "EchoTime"),
    _Element(("MRDiffusionSequence",), "DiffusionBValue", "DiffusionBValue"),
    _Element(
        ("MRDiffusionSequence", "DiffusionGradientDirectionSequence"),
        "DiffusionGradientOrientation",
        "DiffusionGradientOrientation",
    ),
    _Element(("FrameContentSequence",), "FrameAcquisitionNumber", "AcquisitionNumber"),
    _Element(("FrameContentSequence",), "TemporalPositionIndex", "TemporalPositionIdentifier"),
    _Element(("CardiacSynchronizationSequence",), "NominalPercentageOfCardiacPhase", "NominalPercentageOfCardiacPhase"),
    _Element(("CardiacSynchronizationSequence",), "NominalCardiacTriggerDelayTime", "TriggerTime"),
    *(_Element((f"{kind}FrameTypeSequence",), "FrameType", _ORIGIN) for kind in ("CTImage", "MRImage", "PET")),
    *(_Element((f"{kind}FrameTypeSequence",), "FrameType", "ImageType") for kind in ("CTImage", "MRImage", "PET")),
    _Element(("PixelMeasuresSequence",), "SliceThickness", "SliceThickness"),
    _Element(("CTReconstructionSequence",), "ConvolutionKernel", "ConvolutionKernel"),
    _Element(("FrameContentSequence",), "FrameAcquisitionDateTime", "AcquisitionTime"),
)

_NAMES = {element.keyword: element.name for element in _IN_GROUPS}


class Dimension(NamedTuple):
    """One dimension of a multi-frame image: the sequence and element it counts, its place among the index values."""

    group: BaseTag | None
    pointer: BaseTag
    position: int

    @property
    def name(self) -> str:
        """Return the element's keyword, or (gggg,eeee) where it is private."""
        return keyword_for_tag(self.pointer) or str(self.pointer)


def header_tags(ds: Dataset) -> Tags:
    """Return the tags that the header `ds` states."""
    found = dict(_flat(ds))
    if "DiffusionBValue" not in found and (b_value := _private_b_value(ds)) is not None:
        found["DiffusionBValue"] = b_value
    return found


def dimensions_of(ds: Dataset) -> tuple[Dimension, ...]:
    """Return the dimensions of `ds` other than the place (PS3.3 C.7.6.17)."""
    found = (
        Dimension(item.get("FunctionalGroupPointer"), Tag(item.DimensionIndexPointer), position)
        for position, item in enumerate(items(ds, "DimensionIndexSequence"))
        if "DimensionIndexPointer" in item
    )
    return tuple(one for one in found if one.name not in _PLACES)


def frame_tags(group: Dataset, shared: Dataset, dimensions: Iterable[Dimension]) -> Tags:
    """Return the tags that the functional groups of a frame, its own and the `shared` ones, state of it.

    A dimension counts by the value that it stands for where the groups have it, else by its index.
    """
    found: dict[str, float | str] = {}
    for holder in (shared, group):
        for keyword in ("UnassignedSharedConvertedAttributesSequence", "UnassignedPerFrameConvertedAttributesSequence"):
            for item in items(holder, keyword):
                found |= header_tags(item)
        for element in _IN_GROUPS:
            if (value := _descend(holder, element)) is not None:
                found[element.name] = value
    for dimension in dimensions:
        name = _NAMES.get(dimension.name, dimension.name)
        if name not in found and (value := _dimension_value(group, dimension)) is not None:
            found[name] = value
    return found


def private_value(ds: Dataset, group: int, creator: str, element: int) -> object:
    """Return the value of a private element, None where it is absent."""
    try:
        return ds.private_block(group, creator)[element].value
    except PARSER_ERRORS:
        return None


def _flat(ds: Dataset) -> Iterator[tuple[str, float | str]]:
    for name in SPLITTERS[:-1]:
        if (value := _value(ds, "ImageType" if name == _ORIGIN else name, name)) is not None:
            yield name, value


def _value(ds: Dataset, keyword: str, name: str) -> float | str | None:
    """Return element `keyword` as a number or text for the tag `name`, None where it is absent or cannot be read."""
    try:
        value = value_of(ds, keyword)
        if name in _TYPES and isinstance(value, MultiValue):
            value = list(value)[_TYPES[name]]
        if keyword in _DATED and value:
            return f"{ds.get(_DATED[keyword], '')} {value}".strip() or None
        return _plain(value)
    except PARSER_ERRORS:
        return None


def _plain(value: object) -> float | str | None:
    if isinstance(value, MultiValue | list | tuple):
        return "\\".join(str(_plain(one)) for one in value) or None
    if isinstance(value, int | float):
        return float(value)
    return str(value).strip() or None if value is not None else None


def _descend(holder: Dataset, element: _Element) -> float | str | None:
    for sequence in element.path:
        holder = first_item(holder, sequence)
    return _value(holder, element.keyword, element.name)


def _dimension_value(group: Dataset, dimension: Dimension) -> float | str | None:
    """Return what a frame's index of `dimension` stands for, or the index where the frame's groups do not state it."""
    try:
        (item,) = group[Tag(dimension.group or 0)].value
        return _plain(item[dimension.pointer].value)
    except PARSER_ERRORS:
        return _index(group, dimension)


def _index(group: Dataset, dimension: Dimension) -> float | str | None:
    try:
        indices = first_item(group, "FrameContentSequence").DimensionIndexValues
        return _plain(indices[dimension.position] if isinstance(indices, MultiValue | list) else indices)
    except PARSER_ERRORS:
        return None


def _private_b_value(ds: Dataset) -> float | None:
    groups = {tag >> 16 for tag in map(int, ds.keys())}
    for place in _PRIVATE_B_VALUES:
        if place[0] not in groups:
            continue
        try:
            if (value := private_value(ds, *place)) is not None:
                return _number(value) % _GE_B_VALUE_OFFSET
        except PARSER_ERRORS:
            continue
    return None


def _number(value: object) -> float:
    if isinstance(value, bytes):
        value = value.decode("ascii").split("\\")[0]
    if isinstance(value, MultiValue):
        value = value[0]
    return float(str(value))
