"""The electron microscope: contrast transfer, dose, scattering."""
