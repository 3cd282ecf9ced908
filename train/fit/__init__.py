"""The training loop: schedule, checkpoints, stopping and going on."""
