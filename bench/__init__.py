"""`make bench`: the figures of the issues, measured side by side in one run, into bench/results.json."""
