"""Which 16-bit type a device computes fast in."""

import torch


def fast_dtype(device: torch.device) -> torch.dtype:
    """Return the floating-point type that a device's matrix units multiply.

    bfloat16 on GPUs of compute capability 8.0 (Ampere) and above, float16 from 7.0 (Volta, Turing),
    which only emulate bfloat16; float32 on other GPUs and on the CPU.
    """
    capability = (0, 0) if device.type != "cuda" else torch.cuda.get_device_capability(device)
    if capability >= (8, 0):
        return torch.bfloat16
    return torch.float16 if capability >= (7, 0) else torch.float32
