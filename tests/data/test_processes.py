"""Which process is the first, by what torchrun, Lightning and Slurm put into the environment."""

import pytest

from ser.data.processes import is_first_process, is_one_of_several

VARIABLES = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID", "SLURM_NTASKS")


@pytest.mark.parametrize(
    ("environment", "is_first", "is_one"),
    [
        ("", True, False),
        # torchrun, on the second of two machines.
        ("RANK=0 LOCAL_RANK=0", True, True),
        ("RANK=2 LOCAL_RANK=0", False, True),
        # Lightning's own processes.
        ("LOCAL_RANK=0 NODE_RANK=0", True, True),
        ("LOCAL_RANK=1 NODE_RANK=0", False, True),
        ("LOCAL_RANK=0 NODE_RANK=1", False, True),
        ("NODE_RANK=1", False, False),  # as it was started, before Lightning starts others
        # srun, which may be of one task, or within which Lightning starts its own.
        ("SLURM_PROCID=0 SLURM_NTASKS=1", True, False),
        ("SLURM_PROCID=0 SLURM_NTASKS=4", True, True),
        ("SLURM_PROCID=3 SLURM_NTASKS=4", False, True),
        ("SLURM_PROCID=0 SLURM_NTASKS=1 LOCAL_RANK=1", False, True),
    ],
)
def test_the_first_process_is_told_by_the_environment(environment, is_first, is_one, monkeypatch):
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    for pair in environment.split():
        monkeypatch.setenv(*pair.split("="))
    assert (is_first_process(), is_one_of_several()) == (is_first, is_one)
