"""Rounds on a CPU as compiled loops over edges: tiles in registers, the batch in the lanes."""
