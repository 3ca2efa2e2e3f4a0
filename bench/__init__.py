"""`make bench`: the figures of the issues, measured side by side in one run and written to bench/results.json."""
