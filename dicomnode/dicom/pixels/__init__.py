"""Read the stored pixels of files: native ones here, compressed ones in child processes."""
