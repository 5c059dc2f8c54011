"""Write what was found as DICOM objects, read them again, and prove that they say what was found."""
