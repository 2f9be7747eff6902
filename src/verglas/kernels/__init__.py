"""Compiled inner loops on plain arrays; each has a slow plain twin in the tests."""
