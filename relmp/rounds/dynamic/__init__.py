"""Rounds whose edges change: what moves with an edge, and what stays in its place."""
