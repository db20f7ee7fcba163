"""Relight: when a primary AWS Region is lost, bring its pilot light up, and prove that it takes writes."""

__version__ = "0.1.0"
