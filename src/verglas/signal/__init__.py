"""Fourier transforms, filters, masks, spectra and Fourier shell correlation."""
