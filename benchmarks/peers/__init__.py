"""Tools that one would otherwise take, each doing the same jobs; see `__main__`."""
