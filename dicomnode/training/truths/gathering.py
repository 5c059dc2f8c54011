"""Gather all cases that files and folders hold, as a network sees them, and divide them."""

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from dicomnode.dicom.files import files_in
from dicomnode.domain import Exclusion
from dicomnode.errors import Reason, Refused, SettingsError
from dicomnode.inference.windows import parse_window
from dicomnode.training.truths.case import Case
from dicomnode.training.truths.dicoms import cases_of_dicom
from dicomnode.training.truths.nifti import case_of_nifti
from dicomnode.training.truths.nifti_pairs import NiftiPair, is_nifti, pairs_in
from dicomnode.training.truths.npz import SUFFIX, case_of_npz
from dicomnode.training.truths.prepared import PreparedCase, prepare
from dicomnode.training.wishes import Sight

_PAIR = "="  # between an image and its label map
_GROUP_DIGITS = 16


def cases_in(sources: Iterable[str], sight: Sight) -> Iterator[Case | Exclusion]:
    """Return each case in `sources`, and each file that could not be used with the reason; the rest goes on.

    A source is a folder, a file (DICOM, NIfTI or .npz), or IMAGE=LABEL of two NIfTI files. One that is not there and a
    window that is none are a SettingsError at once, before any is read.
    """
    pairs, paths = [], []
    for source in sources:
        image, is_pair, label = source.partition(_PAIR)
        if is_pair and not Path(source).exists():
            pairs.append(NiftiPair(_existing(image), (_existing(label),)))
        else:
            paths.append(_existing(source))
    parse_window(sight.window)
    return _cases_of(pairs, paths, sight)


def gather(
    cases: Iterable[Case | Exclusion], folder: Path, tell: Callable[[PreparedCase], None]
) -> tuple[list[PreparedCase], list[Exclusion]]:
    """Prepare each of `cases` in a folder of its own in `folder`; return them, and what could not be used.

    A case with the very pixels and masks of one before is left out (DUPLICATE_INSTANCE). `tell` hears of each.
    """
    found: dict[str, PreparedCase] = {}
    exclusions: list[Exclusion] = []
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / ".draft"
    for case in cases:
        if isinstance(case, Exclusion):
            exclusions.append(case)
            continue
        try:
            made = prepare(case, draft)
        except Refused as error:
            exclusions.append(Exclusion.of(error))
            continue
        if made.sha256 in found:
            detail = f"it is the same as {found[made.sha256].name}"
            exclusions.append(Exclusion(what=made.name, reason=Reason.DUPLICATE_INSTANCE, detail=detail))
            continue
        # whose case it is need not stand in a file
        group = hashlib.sha256(made.group.encode()).hexdigest()[:_GROUP_DIGITS]
        found[made.sha256] = replace(made, group=group)
        shutil.rmtree(folder_of(made, folder), ignore_errors=True)
        draft.rename(folder_of(made, folder))
        tell(made)
    shutil.rmtree(draft, ignore_errors=True)
    return list(found.values()), exclusions


def folder_of(case: PreparedCase, folder: Path) -> Path:
    """Return where `case` lies among those in `folder`."""
    return folder / case.sha256[:_GROUP_DIGITS]


def divide(cases: Sequence[PreparedCase], share: float, seed: int) -> tuple[list[PreparedCase], list[PreparedCase]]:
    """Return the cases to train on and those to validate on: about `share` of the groups, drawn by `seed`.

    A group is never on both sides. One group cannot be divided: a SettingsError.
    """
    groups = sorted({case.group for case in cases})
    if len(groups) < 2:  # noqa: PLR2004
        detail = f"{len(cases)} cases of one patient or file cannot be divided; name others to validate on"
        raise SettingsError(f"validation {share:g}", detail)
    count = min(max(1, round(share * len(groups))), len(groups) - 1)
    drawn = np.random.default_rng(seed).permutation(len(groups))[:count]
    chosen = {groups[number] for number in drawn}
    train = [case for case in cases if case.group not in chosen]
    return train, [case for case in cases if case.group in chosen]


def _cases_of(pairs: Sequence[NiftiPair], paths: Sequence[Path], sight: Sight) -> Iterator[Case | Exclusion]:
    files = list(files_in(paths))
    yield from cases_of_dicom(
        [one for one in files if not is_nifti(one) and one.suffix.lower() != SUFFIX], sight.window
    )
    for found in (*pairs, *pairs_in([one for one in files if is_nifti(one)])):
        if isinstance(found, Exclusion):
            yield found
        else:
            yield _tried(partial(case_of_nifti, found.image, found.labels, sight.modality, sight.window))
    for path in (one for one in files if one.suffix.lower() == SUFFIX):
        yield _tried(partial(case_of_npz, path, sight.modality, sight.window))


def _tried(read: Callable[[], Case]) -> Case | Exclusion:
    try:
        return read()
    except Refused as error:
        return Exclusion.of(error)


def _existing(text: str) -> Path:
    path = Path(text).absolute()
    if not path.exists():
        raise SettingsError(f"data {text!r}", "there is no such file or folder")
    return path
