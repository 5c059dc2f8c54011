"""Name the kinds of DICOM objects in plain words."""

from pydicom.uid import UID

from dicomnode.domain import Uid


def kind_of(sop_class_uid: Uid) -> str:
    """Return the name of an image's SOP class without the words that all have, such as CT or Enhanced MR (PS3.6 A).

    A private class has no name but its UID.
    """
    name = UID(sop_class_uid).name
    return name.replace(" Image Storage", "").replace(" Storage", "")
