"""The run folder: what one search made, and the settings it was made with."""
