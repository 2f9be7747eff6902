"""The command line, generated from the action declarations."""
