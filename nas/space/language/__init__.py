"""The space language as text: YAML to nodes of a space, and back."""
