"""Networks as plain `torch.nn.Module`s, the recogniser round them, and the metadata that travels with weights."""
