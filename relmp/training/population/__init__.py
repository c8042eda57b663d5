"""Runs that see the same batches, trained as one."""
