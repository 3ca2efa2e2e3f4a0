"""The dates on which people are locked out if nobody acts, set against the days on which machines are up."""
