"""Tests of how work is run."""
