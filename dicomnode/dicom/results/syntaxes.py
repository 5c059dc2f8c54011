"""Encode a finished object in another transfer syntax: the same object, value by value."""

from io import BytesIO

from pydicom import dcmread, dcmwrite
from pydicom.uid import UID, RLELossless

from dicomnode.domain import SegSyntax


def in_syntax(content: bytes, syntax: SegSyntax) -> bytes:
    """Return the Part 10 file `content`, in Explicit VR Little Endian, in `syntax`: always the same bytes.

    Its SOP Instance UID stays, as its values do; RLE is not for pixels of one bit (PS3.5 A.4.2).
    """
    if syntax is SegSyntax.NATIVE:
        return content
    ds = dcmread(BytesIO(content))
    if syntax is SegSyntax.RLE:
        ds.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    ds.file_meta.TransferSyntaxUID = UID(syntax.uid)
    buffer = BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()
