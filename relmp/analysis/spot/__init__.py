"""Where good graphs lie: the paper's rule, its evidence, its corners, a smooth map."""
