"""The tables and Figure 2 of the paper: the runs that they need, and their pages."""
