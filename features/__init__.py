"""What is kept of a clip: decoding, acoustic features, images, their specs and the store."""
