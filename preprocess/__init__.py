"""How a store is made: the plan of what is missing, blocks of clips, Dask runs, closing."""
