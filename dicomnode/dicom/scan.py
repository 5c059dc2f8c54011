"""Find the DICOM instances in files and folders, and say what each one is."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from dicomnode.dicom.files import files_in
from dicomnode.dicom.instances import Fallback, describe, identity_of_file
from dicomnode.dicom.uids import uid_of
from dicomnode.digests import digest_of
from dicomnode.domain import Exclusion, Instance
from dicomnode.errors import Reason, Refused


def scan(paths: Iterable[Path]) -> tuple[tuple[Instance, ...], tuple[Exclusion, ...]]:
    """Return the instances in `paths`, folders in any nesting, and the files that are none and why.

    Files whose study and series UIDs are empty (made so by some anonymisers) are taken as one series a folder:
    both UIDs are derived from the folder's sorted SOP Instance UIDs, with a note.
    """
    instances: list[Instance] = []
    exclusions: list[Exclusion] = []
    nameless: dict[Path, list[Path]] = {}
    for path in files_in(paths):
        try:
            instances.append(_describe(path, None))
        except Refused as error:
            if error.reason is Reason.MISSING_UID and identity_of_file(path):
                nameless.setdefault(path.parent, []).append(path)
            else:
                exclusions.append(Exclusion.of(error))
    for members in nameless.values():
        found, left_out = _name(members)
        instances.extend(found)
        exclusions.extend(left_out)
    return tuple(instances), tuple(exclusions)


def _describe(path: Path, fallback: Fallback | None) -> Instance:
    if not path.is_file():
        raise Refused(Reason.UNREADABLE, str(path), "it is no file, or a folder that cannot be listed")
    try:
        with path.open("rb") as file:
            instance = describe(file, path=path, digest="", fallback=fallback)
            file.seek(0)  # only what is worth it: a file that is refused may be huge
            return replace(instance, digest=digest_of(file))
    except OSError as error:
        raise Refused(Reason.UNREADABLE, str(path), str(error)) from error


def _name(members: list[Path]) -> tuple[list[Instance], list[Exclusion]]:
    """Describe files without study and series UIDs under UIDs derived from their SOP Instance UIDs."""
    identities = sorted(identity_of_file(path) for path in members)
    fallback = Fallback(series_uid=uid_of("series of", identities), study_uid=uid_of("study of", identities))
    instances: list[Instance] = []
    exclusions: list[Exclusion] = []
    for path in members:
        try:
            instances.append(_describe(path, fallback))
        except Refused as error:
            exclusions.append(Exclusion.of(error))
    return instances, exclusions
