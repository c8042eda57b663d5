"""Edges that training changes: when, by which scores, and what is recorded.

Imports nothing itself, so that the settings can be read without torch.
"""
