"""What a caller says and gets back, frozen."""
