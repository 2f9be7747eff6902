"""verglas: single-particle cryo-EM from movies to a sharpened 3D map."""

__version__ = "0.1.0"
