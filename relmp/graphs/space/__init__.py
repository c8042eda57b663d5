"""The design space of graphs: swept, sampled, searched."""
