"""The learning curve of a training: a table that it can be continued in."""

import csv
import os
from collections.abc import Mapping
from pathlib import Path

HISTORY_NAME = "history.csv"
STEP = "step"

Row = Mapping[str, float]


def cut_history(path: Path, step: int | None) -> None:
    """Take from the table at `path` what came after `step`, and all of it where that is None."""
    rows = [row for row in read_history(path) if step is not None and row[STEP] <= step]
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    for row in rows:
        append_row(part, row)
    if rows:
        part.replace(path)
    else:
        path.unlink(missing_ok=True)


def append_row(path: Path, row: Row) -> None:
    """Append `row` to the table at `path`, which the first row begins with the names of its columns; keep it for good.

    Numbers have six digits, so that a table that is written again is the same.
    """
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(row)
        writer.writerow([int(value) if name == STEP else f"{value:.6g}" for name, value in row.items()])
        file.flush()
        os.fsync(file.fileno())


def read_history(path: Path) -> list[dict[str, float]]:
    """Return the rows of the table at `path`, none where there is no such file; half a last row is left out."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        lines = [line for line in file if line.endswith("\n")]
    return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(lines)]
