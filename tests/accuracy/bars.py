"""What is asked of the built-in model on each set, beside what the filled ellipse reached when that was written."""

from dataclasses import dataclass

MOST_LOSS = 0.03  # of the mean Dice, where boxes are 10 % too large in each dimension


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """The least mean Dice that is asked for, with boxes on every plane and with one 3-D box; None asks for nothing.

    `ellipse` and `ellipsoid` are what the filled shapes scored in the study that the bars come from: whoever finds them
    again has the same sets and the same protocol.
    """

    planes: float | None
    ellipse: float | None
    solid: float | None = None
    ellipsoid: float | None = None


BARS = {
    "organs": Bar(planes=0.82, ellipse=0.712),
    "brain": Bar(planes=0.90, ellipse=0.760),
    "ibsi_sts CT": Bar(planes=0.913, ellipse=0.916, solid=0.83, ellipsoid=0.82),
    "ibsi_sts MR_T1": Bar(planes=0.942, ellipse=0.917, solid=0.86, ellipsoid=0.82),
    "ibsi_sts PET": Bar(planes=0.915, ellipse=0.907, solid=0.82, ellipsoid=0.82),
    "lesions": Bar(planes=0.95, ellipse=0.919, solid=0.88, ellipsoid=0.80),
    "fetal heads": Bar(planes=0.963, ellipse=0.961),
    "vertebrae CT": Bar(planes=0.65, ellipse=0.57),
    "vertebrae MR": Bar(planes=0.65, ellipse=0.57),
    "totalseg CT 3 mm": Bar(planes=None, ellipse=None),
    "totalseg MR 3 mm": Bar(planes=None, ellipse=None),
}
