"""Sound and images of a source that is still running, hop by hop, as extraction makes them."""
