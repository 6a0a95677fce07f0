"""Being a client: of a hub in this process, of Relay elsewhere, or of any Pusher-compatible host."""

from relay.client.publisher import Accepted, Publisher

__all__ = ["Accepted", "Publisher"]
