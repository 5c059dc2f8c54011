"""Fetch from other systems what an annotation lacks, or what is pulled, and keep it as if it had been sent."""
