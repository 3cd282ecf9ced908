"""Training an image model to tell places apart, before scenes are learned with it."""
