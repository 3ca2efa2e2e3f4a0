"""Who says which credential is valid, for the kinds whose rules are ours: an outside system behind a port."""
