"""How well masks match truth, and clusters what people say."""
