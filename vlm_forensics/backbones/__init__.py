"""Families of vision-language models the detection parts can stand on, one file each."""
