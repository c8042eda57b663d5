"""Weights that stay as they were drawn, and scores that decide which of them count."""
