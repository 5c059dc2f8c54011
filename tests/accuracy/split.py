"""Which of the real cases a model may be trained on, and which only judge it: never the same case for both.

There are two halves. The model that is shipped is trained on the first and judged by the others; trained once more on
the second, it is judged by those of the first as well, so that each case judges a training that has not seen it.

`python tests/accuracy/split.py FOLDER [first|second]` writes what may be trained on into FOLDER, a folder for each set.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.accuracy.sets import SETS, Case, cases_of, data_folder

_BOTH = {"totalseg CT 3 mm": ("example_ct_sm",), "totalseg MR 3 mm": ("example_mr_sm",)}
# The cases of each half, by set; a patient is on one side with all of its modalities.
HALVES: dict[str, dict[str, tuple[str, ...]]] = {
    "first": {
        **dict.fromkeys(("ibsi_sts CT", "ibsi_sts MR_T1", "ibsi_sts PET"), ("STS_002", "STS_005", "STS_008")),
        "lesions": ("CT_Lesion_000001_02_01_008-023",),
        "fetal heads": ("000_HC", "001_HC", "002_HC", "003_HC", "004_HC"),
        "vertebrae MR": ("sub-mri",),
        **_BOTH,
    },
    "second": {
        **dict.fromkeys(("ibsi_sts CT", "ibsi_sts MR_T1", "ibsi_sts PET"), ("STS_019", "STS_025", "STS_029")),
        "lesions": ("CT_Lesion_000002_03_01_035-047",),
        "fetal heads": ("005_HC", "006_HC", "007_HC", "008_HC", "009_HC"),
        "vertebrae CT": ("sub-ct",),
        **_BOTH,
    },
}
SHIPPED = "first"


def trained_on(half: str = SHIPPED) -> frozenset[tuple[str, str]]:
    """Return the set and the name of each case that is trained on with `half`."""
    return frozenset((name, case) for name, cases in HALVES[half].items() for case in cases)


def training_cases(data: Path, half: str = SHIPPED) -> Iterator[Case]:
    """Yield the cases that are trained on with `half`."""
    for name in SETS:
        yield from (case for case in cases_of(name, data) if (name, case.name) in trained_on(half))


def write_training(folder: Path, data: Path, half: str = SHIPPED) -> list[Path]:
    """Write each case of `half` to `folder`, as a challenge's .npz in a folder for its set, and return the files.

    `imgs` are (plane, row, column) float32 in the modality's values, `gts` the labels, `spacing` x, y, z in mm.
    """
    files = []
    for case in training_cases(data, half):
        files.append(folder / case.set.replace(" ", "_") / f"{case.modality}_{case.name}.npz")
        files[-1].parent.mkdir(parents=True, exist_ok=True)
        np.savez(files[-1], imgs=case.image, gts=case.labels.astype(np.uint8), spacing=np.array(case.spacing[::-1]))
    return files


if __name__ == "__main__":
    written = write_training(Path(sys.argv[1]), data_folder(), *sys.argv[2:])
    sys.stdout.writelines(f"{path}\n" for path in written)
