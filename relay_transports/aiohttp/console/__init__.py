"""The console: one page for operators, and what it asks. Off until ``add_console`` is called.

:mod:`~relay_transports.aiohttp.console.entrance` knows who may in, :mod:`~relay_transports.aiohttp.console.endpoints`
what is answered; ``page`` holds the page itself, which is served as it is.
"""

from relay_transports.aiohttp.console.endpoints import add_console
from relay_transports.aiohttp.console.entrance import check_token

__all__ = ["add_console", "check_token"]
