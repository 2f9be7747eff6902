"""Every claim at its full size; hours; results in docs/measured/."""
