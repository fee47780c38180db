"""The commands: thin typer apps that parse, call and show."""
