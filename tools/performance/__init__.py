"""The performance page: its text, and its sections by room."""
