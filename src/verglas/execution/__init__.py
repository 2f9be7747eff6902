"""How work is run: job folders, controllers, workers, progress; knows no action."""
