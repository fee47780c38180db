"""The ``moefm`` command."""
