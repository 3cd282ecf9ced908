"""Static pages that show a store's clips: what was seen, what was heard, what was predicted."""
