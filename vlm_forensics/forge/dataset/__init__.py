"""A folder of photographs in, an annotated dataset of forgeries out: `vlmf data forge`."""
