"""Say what the values of a stack are, in the codes of PS3.16: the quantity and its unit."""

from typing import NamedTuple

from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import CTImageStorage

from dicomnode.dicom.reading import first_item, text
from dicomnode.dicom.results.findings import Findings

_HU = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
_NO_UNITS = codes.UCUM.NoUnits
_RESCALED = {  # Rescale Type and Modality LUT Type, PS3.3 C.11.1.1.2
    "HU": _HU,
    "MGML": Code("mg/ml", "UCUM", "milligram per milliliter"),
    "PCT": codes.cid84.Percent,
}
_PET_UNITS = {  # PET Units (0054,1001), PS3.3 C.8.9.1.1.3
    "BQML": codes.cid84.BecquerelsPerMilliliter,
    "CNTS": codes.cid84.Counts,
    "CPS": codes.cid84.CountsPerSecond,
    "PROPCNTS": codes.cid84.ProportionalToCounts,
    "PROPCPS": codes.cid84.ProportionalToCountsPerSecond,
    "PCNT": codes.cid84.Percent,
    "CM2": codes.cid84.SquareCentimeter,
    "MLG": codes.cid84.MilliliterPerGram,
    "1CM": codes.cid84.PerCentimeter,
    "UMOLML": codes.cid84.MicromolePerMilliliter,
    "UMOLMINML": codes.cid84.MicromolePerMinutePerMilliliter,
    "MGMINML": codes.cid84.MilligramsPerMinutePerMilliliter,
    "MLMING": codes.cid84.MilliliterPerMinutePerGram,
}
_BODY_WEIGHT = (codes.DCM.Suvbw, codes.cid85.StandardizedUptakeValueBodyWeight)
_BODY_SURFACE = (codes.DCM.Suvbsa, codes.cid85.StandardizedUptakeValueBodySurfaceArea)
_UPTAKES = {  # Units and SUV Type (0054,1006), PS3.3 C.8.9.1.1.3: what is meant where no type is stated is in the units
    ("GML", ""): _BODY_WEIGHT,
    ("GML", "BW"): _BODY_WEIGHT,
    ("GML", "LBM"): (codes.DCM.Suvlbm, codes.cid85.StandardizedUptakeValueLeanBodyMassJames),
    ("GML", "LBMJAMES128"): (
        codes.DCM.SuvlbmJames128,
        codes.cid85.StandardizedUptakeValueLeanBodyMassJames128Multiplier,
    ),
    ("GML", "LBMJANMA"): (codes.DCM.SuvlbmJanma, codes.cid85.StandardizedUptakeValueLeanBodyMassJanma),
    ("GML", "IBW"): (codes.DCM.Suvibw, codes.cid85.StandardizedUptakeValueIdealBodyWeight),
    ("CM2ML", ""): _BODY_SURFACE,
    ("CM2ML", "BSA"): _BODY_SURFACE,
}
_ACTIVITY = codes.DCM.NuclearMedicineTomographicActivity
_ACTIVITIES = frozenset({"BQML", "CNTS", "CPS", "PROPCNTS", "PROPCPS"})
_QUANTITIES = {
    "MR": codes.DCM.MRSignalIntensity,
    "NM": _ACTIVITY,
    "US": codes.DCM.Echogenicity,
    **dict.fromkeys(("CT", "CR", "DX", "MG", "XA", "RF", "IO", "PX"), codes.DCM.XRayAttenuation),
}


class Quantity(NamedTuple):
    """What values are: the concept (PS3.16 CID 7469), None where there is none for them, and their unit (UCUM)."""

    concept: Code | None
    unit: Code


def quantity_of(findings: Findings) -> Quantity | None:
    """Return what the values of the stack are; None of colours, and where not all planes have the same unit."""
    stack = findings.stack
    rescaled = {text(header.ds, "RescaleType") for header in findings.headers}
    if stack.planes[0].is_colour or len(rescaled) > 1:
        return None
    if stack.modality == "PT":
        return _pet(findings.source)
    unit = _RESCALED.get(_rescale_type(findings), _NO_UNITS)
    if unit is _HU:
        return Quantity(codes.DCM.AttenuationCoefficient, unit)
    return Quantity(_QUANTITIES.get(stack.modality) if unit is _NO_UNITS else None, unit)


def _rescale_type(findings: Findings) -> str:
    """Return the type of the values; of a CT image that states none they are Hounsfield units (PS3.3 C.8.2.1.1.2)."""
    source = findings.source
    stated = text(source, "RescaleType") or text(first_item(source, "ModalityLUTSequence"), "ModalityLUTType")
    is_ct = findings.headers[0].sop_class_uid == CTImageStorage and "RescaleIntercept" in source
    return stated or ("HU" if is_ct else "")


def _pet(source: Dataset) -> Quantity:
    units = text(source, "Units")
    if uptake := _UPTAKES.get((units, text(source, "SUVType"))):
        return Quantity(*uptake)
    return Quantity(_ACTIVITY if units in _ACTIVITIES else None, _PET_UNITS.get(units, _NO_UNITS))
