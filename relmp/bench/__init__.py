"""How fast rounds and models are, measured side by side on this machine."""
