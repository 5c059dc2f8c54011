"""The steps from one version of the tables to the next, run when the node starts."""
