"""DICOM over TCP: the listener, the sender, and a small PACS to try them against."""

import logging

import pydicom.config
from pynetdicom import _config

from dicomnode.network.closing import close_always

# What is accepted does not depend on Python's warning filters, and nothing a peer sends is written to the log.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
_config.LOG_HANDLER_LEVEL = "none"
# A peer that cannot be reached, or takes no context, is told by who asked it, in words that name it.
for _name in ("pynetdicom.transport", "pynetdicom.acse"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)
close_always()
