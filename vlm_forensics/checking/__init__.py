"""Whether a dataset can be trusted: faults, near-duplicates, class balance, masks, shortcuts."""
