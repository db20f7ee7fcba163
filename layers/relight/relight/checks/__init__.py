"""The checks of readiness, by what they look at. Each is a pure function over the facts, and a row of the table."""
