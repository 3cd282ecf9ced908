"""A system without a modality, out of time, with another clip's, or with altered recordings."""
