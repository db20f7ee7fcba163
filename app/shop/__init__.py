"""Orders: taken, kept, shown."""
