"""How much of its UAR a cross-validated recipe loses when the sound changes."""
