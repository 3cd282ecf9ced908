"""The verbs of ``avsc-fit``: one for each system, and evaluation."""
