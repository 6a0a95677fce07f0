"""What is measured: one small file for each question, with a ``QUESTION`` and a ``run(bench)``."""

SERVERS = (
    "relay_hub",
    "aiohttp_send_str",
    "soketi",
    "socketify_publish",
    "picows_send",
    "websockets_broadcast",
    "starlette_uvicorn",
    "python_socketio",
)
"""The peers that hold connections as a server does."""
