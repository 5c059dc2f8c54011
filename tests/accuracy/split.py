"""Which of the real cases a model may be trained on, and which only judge it: never the same case for both.

`python tests/accuracy/split.py FOLDER` writes those that it may be trained on into FOLDER.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.accuracy.sets import SETS, Case, cases_of, data_folder

# The cases that may be trained on, by set; a patient is on one side with all of its modalities.
TRAINING: dict[str, tuple[str, ...]] = {
    "ibsi_sts CT": ("STS_002", "STS_005", "STS_008"),
    "ibsi_sts MR_T1": ("STS_002", "STS_005", "STS_008"),
    "ibsi_sts PET": ("STS_002", "STS_005", "STS_008"),
    "lesions": ("CT_Lesion_000001_02_01_008-023",),
    "fetal heads": ("000_HC", "001_HC", "002_HC", "003_HC", "004_HC"),
    "vertebrae MR": ("sub-mri",),
    "totalseg CT 3 mm": ("example_ct_sm",),
    "totalseg MR 3 mm": ("example_mr_sm",),
}


def trained_on() -> frozenset[tuple[str, str]]:
    """Return the set and the name of each case that may be trained on."""
    return frozenset((name, case) for name, cases in TRAINING.items() for case in cases)


def training_cases(data: Path) -> Iterator[Case]:
    """Yield the cases that may be trained on."""
    for name in SETS:
        yield from (case for case in cases_of(name, data) if (name, case.name) in trained_on())


def write_training(folder: Path, data: Path) -> list[Path]:
    """Write each case that may be trained on to `folder`, as a challenge's .npz, and return the files.

    `imgs` are (plane, row, column) float32 in the modality's values, `gts` the labels, `spacing` x, y, z in mm.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for case in training_cases(data):
        files.append(folder / f"{case.modality}_{case.set.replace(' ', '_')}_{case.name}.npz")
        np.savez(files[-1], imgs=case.image, gts=case.labels.astype(np.uint8), spacing=np.array(case.spacing[::-1]))
    return files


if __name__ == "__main__":
    sys.stdout.writelines(f"{path}\n" for path in write_training(Path(sys.argv[1]), data_folder()))
