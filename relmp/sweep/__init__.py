"""Many runs: the plan, the runner and the store."""

from relmp.sweep.plan import PlannedRun, plan_sweep
from relmp.sweep.runner import run_sweep
from relmp.sweep.store import collect, stored_graphs

__all__ = ["PlannedRun", "collect", "plan_sweep", "run_sweep", "stored_graphs"]
