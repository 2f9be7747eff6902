"""Tests of CTF estimation."""
