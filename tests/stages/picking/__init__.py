"""Tests of picking."""
