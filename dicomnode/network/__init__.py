"""DICOM over TCP: the listener, the sender, and a small PACS to try them against."""

import logging

import pydicom.config
from pynetdicom import _config

# What is accepted does not depend on Python's warning filters, and nothing a peer sends is written to the log.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
_config.LOG_HANDLER_LEVEL = "none"
# A peer that cannot be reached is told by the sender, in words that name it.
logging.getLogger("pynetdicom.transport").setLevel(logging.CRITICAL)
