"""Which clips there are: clips, data sets, folds, splits, and the readers that find them."""
