"""The DICOM conformance statement (PS3.2): prose, and tables that are made from what the code does."""
