"""What is learned from a store: batches, networks, the training loop, evaluation, reports."""
