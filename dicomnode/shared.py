"""Find the files of `config/` and `models/`, in an installed wheel or in a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shared_file(relative: str) -> Path:
    """Return where the shipped file `relative` lies, such as `config/dicomnode.toml`.

    A wheel carries it under `dicomnode/share`; in a checkout it lies beside the package.
    """
    shipped = _PACKAGE / "share" / relative
    return shipped if shipped.exists() else _PACKAGE.parent / relative
