"""The steps of a run: idempotent ensures, each under its noun's module."""
