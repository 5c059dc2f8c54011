"""Find the files in folders, in any nesting."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def files_in(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield every file in `paths` once, folders walked in sorted order."""
    seen = set()
    for path in paths:
        for file in _walk(path):
            real = file.resolve()
            if real not in seen:
                seen.add(real)
                yield file


def _walk(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    unlisted: list[OSError] = []
    for folder, folders, names in os.walk(path, onerror=unlisted.append):
        folders.sort()
        yield from (file for name in sorted(names) if (file := Path(folder, name)).is_file())
    yield from (Path(error.filename) for error in unlisted)  # to be refused by name
