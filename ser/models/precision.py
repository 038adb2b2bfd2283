"""Where a network can compute in 16 bits."""

import torch


def computes_in_bf16(device: torch.device) -> bool:
    """Return whether the device computes in bfloat16.

    On a processor without AVX-512 convolutions take four times as long in it, and an LSTM fails (oneDNN).
    """
    return device.type != "cpu" or torch.backends.cpu.get_cpu_capability() == "AVX512"
