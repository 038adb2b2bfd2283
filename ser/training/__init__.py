"""The LightningModule, its callbacks, the run from configuration to report, cross-validation and sweeps."""
