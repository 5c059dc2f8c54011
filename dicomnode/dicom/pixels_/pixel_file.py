"""Decode the stored pixels of one image."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID

from dicomnode.dicom.reading import PARSER_ERRORS, noted
from dicomnode.errors import Reason, Refused


def decode(ds: Dataset, what: str) -> NDArray[np.integer[Any]]:
    """Return the stored values of the single frame in `ds`, (row, column) integers.

    Refuses with NO_DECODER naming the transfer syntax, or TRUNCATED where pixels are missing or broken.
    """
    try:
        with noted([]):
            stored = pixel_array(ds, raw=True)
    except (RuntimeError, NotImplementedError) as error:
        raise _undecodable(ds, what, error) from error
    except PARSER_ERRORS as error:
        raise Refused(Reason.TRUNCATED, what, f"its pixels cannot be read: {error}") from error
    if not np.issubdtype(stored.dtype, np.integer):
        raise Refused(Reason.UNSUPPORTED_IMAGE, what, f"its pixels are {stored.dtype}: integers are wanted")
    return stored


def _undecodable(ds: Dataset, what: str, error: Exception) -> Refused:
    """Tell a syntax that no decoder here reads from pixels that every decoder fails on."""
    syntax = UID(str(ds.file_meta.get("TransferSyntaxUID", "")))
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    if "missing dependencies" in str(error) or isinstance(error, NotImplementedError):
        return Refused(Reason.NO_DECODER, what, f"no decoder for {syntax.name} ({syntax})")
    return Refused(Reason.TRUNCATED, what, f"its {syntax.name} pixels cannot be decoded: {first}")
