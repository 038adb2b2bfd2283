"""Which process of a training this is: several devices have a process each, on one machine or on many."""

import os


def is_first_process() -> bool:
    """Whether this process is the first of a training, which writes and reports; so is one that is alone.

    It follows from the environment, as there may be no trainer yet: RANK of torchrun counts the processes of all
    machines; Lightning's own processes have LOCAL_RANK, and NODE_RANK where there are several machines; those of srun
    have SLURM_PROCID. That comes last, because processes that Lightning starts within a task of Slurm share its number.
    """
    if "RANK" in os.environ:
        return os.environ["RANK"] == "0"
    if "LOCAL_RANK" in os.environ or "NODE_RANK" in os.environ:
        return os.environ.get("LOCAL_RANK", "0") == os.environ.get("NODE_RANK", "0") == "0"
    return os.environ.get("SLURM_PROCID", "0") == "0"


def is_one_of_several() -> bool:
    """Whether the environment says that other processes train together with this one."""
    if "RANK" in os.environ or "LOCAL_RANK" in os.environ:
        return True
    return "SLURM_PROCID" in os.environ and os.environ.get("SLURM_NTASKS", "1") != "1"
