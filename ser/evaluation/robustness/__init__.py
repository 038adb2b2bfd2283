"""How much UAR a cross-validated recipe loses when the sound changes."""
