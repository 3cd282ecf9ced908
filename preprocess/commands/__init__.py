"""The verbs of ``avsc-prep``, one module a verb."""
