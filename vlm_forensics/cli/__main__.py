"""`python -m vlm_forensics.cli`, for when the script `vlmf` is not on the path."""

from vlm_forensics.cli import main

main()
