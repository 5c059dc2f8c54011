"""Say where a node stands, running or stopped, from its tables alone."""
