"""The `ser` command: a module for each subcommand, and no logic of its own."""
