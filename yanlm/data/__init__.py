"""What ``--data`` names, as rows."""
