"""Measuring Relay."""
