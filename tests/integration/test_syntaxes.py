"""A finished object in another transfer syntax is the same object."""

from io import BytesIO

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID

from dicomnode.dicom.results.syntaxes import in_syntax
from dicomnode.domain import SegSyntax
from dicomnode.settings.profiles import FORMS
from tests.objects import seg_by_highdicom


def read(content: bytes) -> Dataset:
    return dcmread(BytesIO(content))


@pytest.mark.parametrize("name", FORMS)
def test_every_value_is_the_same_in_every_form(name: str) -> None:
    form = FORMS[name]
    content = seg_by_highdicom(form.type, 7).content
    native, encoded = read(content), read(in_syntax(content, form.syntax))
    assert encoded.file_meta.TransferSyntaxUID == UID(form.syntax.uid)
    assert (encoded.pixel_array == native.pixel_array).all()
    assert [element.tag for element in encoded] == [element.tag for element in native]
    assert [one.keyword for one in encoded if one.keyword != "PixelData" and one != native[one.tag]] == []
    assert encoded.file_meta.MediaStorageSOPInstanceUID == native.SOPInstanceUID


@pytest.mark.parametrize("name", FORMS)
def test_the_same_object_in_the_same_form_is_the_same_bytes(name: str) -> None:
    form = FORMS[name]
    content = seg_by_highdicom(form.type, 7).content
    assert in_syntax(content, form.syntax) == in_syntax(content, form.syntax)
    assert (in_syntax(content, form.syntax) == content) is (form.syntax is SegSyntax.NATIVE)
