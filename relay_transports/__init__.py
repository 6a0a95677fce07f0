"""Transports of Relay: what carries frames between a hub and its clients."""
