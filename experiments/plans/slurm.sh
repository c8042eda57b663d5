#!/bin/bash
# A sweep on a cluster with Slurm: ten jobs, each a tenth of the plan, one folder that all see.
#
#     sbatch experiments/plans/slurm.sh
#     relmp runs status runs/messages        (while it runs)
#     relmp runs retry runs/messages         (what failed)
#     relmp analyse runs/messages --by model.message
#
# Jobs that are started again go on where they were; two that are given the same part share it.

#SBATCH --job-name=relmp
#SBATCH --array=1-10
#SBATCH --cpus-per-task=4
#SBATCH --time=04:00:00

srun relmp sweep --plan experiments/plans/messages.toml \
    --shard "${SLURM_ARRAY_TASK_ID}/10" --workers "${SLURM_CPUS_PER_TASK}" --retries 1
