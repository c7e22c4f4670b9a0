"""What goes between the front and the engine process."""
