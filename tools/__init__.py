"""Helpers for people who develop verglas."""
