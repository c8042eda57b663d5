"""Pictures of graphs: nodes and edges, adjacency matrix, place in the plane of C and L."""

from relmp.graphs.draw.views import VIEWS, attainable_region, draw_gallery, draw_graph

__all__ = ["VIEWS", "attainable_region", "draw_gallery", "draw_graph"]
