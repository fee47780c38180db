"""A model behind HTTP, and a page on which a text comes about step by step."""
