"""DICOM in and out: reading headers, stacks and prompts, writing objects, and proving what was written."""

import pydicom.config

# Foreign warnings change nothing: what is accepted does not depend on Python's warning filters.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
