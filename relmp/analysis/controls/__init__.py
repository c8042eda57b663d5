"""What tells an effect from luck, density, width and learning rate."""
