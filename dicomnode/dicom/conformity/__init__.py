"""What a conformance statement says of objects: which are read, and what is in those that are made."""
