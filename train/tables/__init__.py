"""The tables of the paper: which runs they need, what these came to, and what the paper printed."""
