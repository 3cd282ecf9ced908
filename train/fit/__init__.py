"""The training loop: schedule, checkpoints, stopping and resuming."""
