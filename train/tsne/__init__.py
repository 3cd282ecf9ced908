"""Embeddings of two runs drawn in the plane by t-SNE, with numbers for what the eye sees."""
