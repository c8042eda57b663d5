"""Many runs: the plan, the runner and the store."""

from relmp.sweep.plan import grid, over_graphs
from relmp.sweep.runner import run_plan, run_sweep
from relmp.sweep.store import collect, stored_graphs

__all__ = ["collect", "grid", "over_graphs", "run_plan", "run_sweep", "stored_graphs"]
