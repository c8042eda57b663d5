"""Neural networks as relational graphs whose nodes talk."""
