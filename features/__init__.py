"""What is kept of a clip: decoding, acoustic features, pictures, their specs and the store."""
