"""Models that are not relmp's: any that takes a graph, and any other network made relational."""
