"""The errors of the node, sorted by what to do about them.

DicomNodeError
├── Refused            this input will never work: say why, stop
│   ├── ClassRefused   a DICOM peer takes no such object: another kind may do
│   └── SettingsError  a settings file, key or value is wrong
└── Unavailable        try again later
    ├── PeerUnreachable
    │   └── PeerRejected   it will not talk to this node: its settings or ours are to be mended
    ├── LimitReached   again when others have ended
    ├── EngineFailed   again in another process: this one is of no use any more
    └── ModelLost      again when the model is there: no job is to blame

Everything else that is raised is a bug and fails loudly.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why something was refused or set aside; the words users, logs and `--json` see."""

    # refused: a user would expect it to be segmented and it was not
    AMBIGUOUS_SERIES = "AMBIGUOUS_SERIES"
    BAD_CONTOUR = "BAD_CONTOUR"
    BAD_MODEL = "BAD_MODEL"
    BAD_SETTING = "BAD_SETTING"
    BAD_UID = "BAD_UID"
    BOX_OUTSIDE = "BOX_OUTSIDE"
    CONTOUR_OFF_STACK = "CONTOUR_OFF_STACK"
    DUPLICATE_POSITIONS = "DUPLICATE_POSITIONS"
    EMPTY_RESULT = "EMPTY_RESULT"
    FAILED_CHECK = "FAILED_CHECK"
    FOR_MISMATCH = "FOR_MISMATCH"
    INVALID_HEADER = "INVALID_HEADER"
    LIMIT = "LIMIT"
    MISSING_UID = "MISSING_UID"
    NO_BOX = "NO_BOX"
    NO_DECODER = "NO_DECODER"
    NO_GEOMETRY = "NO_GEOMETRY"
    NO_IMAGES = "NO_IMAGES"
    NOT_REGULAR = "NOT_REGULAR"
    PEER_REFUSED = "PEER_REFUSED"
    TRUNCATED = "TRUNCATED"
    UID_CONFLICT = "UID_CONFLICT"
    UID_MISMATCH = "UID_MISMATCH"
    UNREADABLE = "UNREADABLE"
    UNSUPPORTED_MOSAIC = "UNSUPPORTED_MOSAIC"
    # set aside: no image this version reads, or no prompt; an annotation that needs it is refused itself
    DUPLICATE_INSTANCE = "DUPLICATE_INSTANCE"
    LOCALIZER = "LOCALIZER"
    NOT_AN_IMAGE = "NOT_AN_IMAGE"
    NOT_A_PROMPT = "NOT_A_PROMPT"
    NOT_DICOM = "NOT_DICOM"
    NOT_SELECTED = "NOT_SELECTED"
    OWN_RESULT = "OWN_RESULT"
    PROJECTION = "PROJECTION"
    SCREEN_SAVE = "SCREEN_SAVE"
    UNSUPPORTED_CINE = "UNSUPPORTED_CINE"
    UNSUPPORTED_IMAGE = "UNSUPPORTED_IMAGE"

    @property
    def refuses(self) -> bool:
        """Return whether a user would have expected a segmentation (refused), or not (set aside)."""
        return self not in SET_ASIDE


SET_ASIDE = frozenset(
    {
        Reason.DUPLICATE_INSTANCE,
        Reason.LOCALIZER,
        Reason.NOT_AN_IMAGE,
        Reason.NOT_A_PROMPT,
        Reason.NOT_DICOM,
        Reason.NOT_SELECTED,
        Reason.OWN_RESULT,
        Reason.PROJECTION,
        Reason.SCREEN_SAVE,
        Reason.UNSUPPORTED_CINE,
        Reason.UNSUPPORTED_IMAGE,
    }
)


class DicomNodeError(Exception):
    """Something went wrong that dicomnode knows about."""


class Refused(DicomNodeError):
    """The input will never work; say why and stop."""

    def __init__(self, reason: Reason, what: str, detail: str) -> None:
        super().__init__(f"{what}: {reason}: {detail}")
        self.reason = reason
        self.what = what
        self.detail = detail

    def __reduce__(self) -> tuple[type["Refused"], tuple[Reason, str, str]]:
        """Travel whole between processes: an exception's own pickling would lose the three arguments."""
        return type(self), (self.reason, self.what, self.detail)


class SettingsError(Refused):
    """A settings file, key or value is wrong; the message names file, key, what was found and what is allowed."""

    def __init__(self, what: str, detail: str) -> None:
        super().__init__(Reason.BAD_SETTING, what, detail)

    def __reduce__(self) -> tuple[type["SettingsError"], tuple[str, str]]:  # type: ignore[override]
        """Travel whole between processes."""
        return type(self), (self.what, self.detail)


class ClassRefused(Refused):
    """A DICOM peer takes no object of this SOP class, in whatever transfer syntax; it may take another class."""

    def __init__(self, what: str, detail: str) -> None:
        super().__init__(Reason.PEER_REFUSED, what, detail)

    def __reduce__(self) -> tuple[type["ClassRefused"], tuple[str, str]]:  # type: ignore[override]
        """Travel whole between processes."""
        return type(self), (self.what, self.detail)


class Unavailable(DicomNodeError):
    """Something needed is not there now; try again later."""


class PeerUnreachable(Unavailable):
    """A DICOM peer did not answer, refused the association or broke it off."""


class LimitReached(Unavailable):
    """As many are open as may be at once."""


class PeerRejected(PeerUnreachable):
    """A DICOM peer rejected the association for good: what is to blame is who calls, and no object."""


class EngineFailed(Unavailable):
    """What runs the model broke, and does not work again in this process."""


class ModelLost(Unavailable):
    """The model that was there when the node started cannot be loaded any more."""
