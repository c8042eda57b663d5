"""Where tasks are done: processes of this machine, this process, or a Ray cluster.

Every engine is an iterator of :class:`Event`; where the runs are trained changes nothing in what
the store holds.
"""

from relmp.sweep.engines.event import Event
from relmp.sweep.engines.here import run_here
from relmp.sweep.engines.local import run_in_pool
from relmp.sweep.engines.on_ray import run_on_ray

ENGINES = ("local", "ray")
"""What ``engine=`` accepts."""

__all__ = ["ENGINES", "Event", "run_here", "run_in_pool", "run_on_ray"]
