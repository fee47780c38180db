"""A model behind HTTP, and a page that shows step by step how a text is filled."""
