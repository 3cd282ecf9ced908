"""From a store to batches: pairs, positioned reads, image augmentation."""
