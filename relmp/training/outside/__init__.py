"""What runs take from elsewhere and hand on: weights of other runs, files for other programs."""
