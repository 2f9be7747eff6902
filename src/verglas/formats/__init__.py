"""Files to arrays and tables, and back: strict, streamed, never silently wrong."""
