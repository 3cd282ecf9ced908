"""Settings of what is trained, each declared once."""
