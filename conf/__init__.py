"""The Hydra configuration of `ser`; a wheel holds it as the package `ser.conf`."""
