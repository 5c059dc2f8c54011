"""Delete what is done with, by its age and by how full the disk is."""
