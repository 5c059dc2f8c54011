"""Turn what a header says into JSON for the `instance` table, and back into the same value."""

from pathlib import Path
from typing import Any, TypeAlias

from pydantic import TypeAdapter

from dicomnode.domain import Annotation, ImageInstance, Instance, OtherInstance, Undescribed

Facts: TypeAlias = dict[str, Any]

UNDESCRIBED = "undescribed"  # the kind of what only the identity was read of

_KINDS: dict[str, TypeAdapter[Any]] = {
    "image": TypeAdapter(ImageInstance),
    "annotation": TypeAdapter(Annotation),
    "other": TypeAdapter(OtherInstance),
}


def kind_of(instance: Instance | Undescribed) -> str:
    """Return the word for what `instance` is."""
    match instance:
        case ImageInstance():
            return "image"
        case Annotation():
            return "annotation"
        case OtherInstance():
            return "other"
        case Undescribed():
            return UNDESCRIBED


def modality_of(instance: Instance | Undescribed) -> str:
    """Return the Modality of `instance`, "" where it is not known."""
    match instance:
        case ImageInstance() | Undescribed():
            return instance.modality
        case Annotation():
            return instance.kind.value
        case OtherInstance():
            return ""


def facts_of(instance: Instance | Undescribed) -> Facts:
    """Return `instance` as JSON values, without its path: the row's key says where it lies."""
    if isinstance(instance, Undescribed):
        return {"sop_class_uid": instance.sop_class_uid}
    facts: Facts = _KINDS[kind_of(instance)].dump_python(instance, mode="json", exclude={"path"})
    return facts


def instance_of(kind: str, facts: Facts, path: Path) -> Instance:
    """Return the instance of `facts`, lying at `path`."""
    found: Instance = _KINDS[kind].validate_python({**facts, "path": path})
    return found
