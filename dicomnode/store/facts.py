"""Turn what a header says into JSON for the `instance` table, and back into the same value."""

from pathlib import Path
from typing import Any, TypeAlias

from pydantic import TypeAdapter

from dicomnode.domain import Annotation, ImageInstance, Instance, OtherInstance

Facts: TypeAlias = dict[str, Any]

_KINDS: dict[str, TypeAdapter[Any]] = {
    "image": TypeAdapter(ImageInstance),
    "annotation": TypeAdapter(Annotation),
    "other": TypeAdapter(OtherInstance),
}


def kind_of(instance: Instance) -> str:
    """Return the word for what `instance` is."""
    match instance:
        case ImageInstance():
            return "image"
        case Annotation():
            return "annotation"
        case OtherInstance():
            return "other"


def modality_of(instance: Instance) -> str:
    """Return the Modality of `instance`, "" where it is not known."""
    match instance:
        case ImageInstance():
            return instance.modality
        case Annotation():
            return instance.kind.value
        case OtherInstance():
            return ""


def facts_of(instance: Instance) -> Facts:
    """Return `instance` as JSON values, without its path: the row's key says where it lies."""
    facts: Facts = _KINDS[kind_of(instance)].dump_python(instance, mode="json", exclude={"path"})
    return facts


def instance_of(kind: str, facts: Facts, path: Path) -> Instance:
    """Return the instance of `facts`, lying at `path`."""
    found: Instance = _KINDS[kind].validate_python({**facts, "path": path})
    return found
