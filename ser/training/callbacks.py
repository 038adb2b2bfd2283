"""What Lightning leaves open for a run that may be killed at any moment and resumed."""

from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.plugins.io import TorchCheckpointIO

from ser.inference.checkpoint import read_checkpoint, save_atomically


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write checkpoints beside their place and move them in; read tensors and plain values only.

    Lightning's own writer makes the temporary file in the system's temporary folder; where that is another file
    system, the move is a copy, and a kill leaves half a checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str, storage_options: Any | None = None) -> None:
        save_atomically(checkpoint, Path(path))

    def load_checkpoint(
        self, path: str, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return read_checkpoint(Path(path))


class ResumableEarlyStopping(EarlyStopping):
    """Early stopping that, resumed from a run that had stopped, trains no further epoch."""

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.wait_count >= self.patience:
            trainer.should_stop = True
