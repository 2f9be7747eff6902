"""What the steps share: alignment, reconstruction, map alignment, particle images."""
