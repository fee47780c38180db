"""The ``yanlm`` command."""
