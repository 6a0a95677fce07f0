"""A shop on FastAPI that tells open browsers about payments through hosted Pusher."""

import os
from functools import cache
from typing import Annotated

from fastapi import Depends, FastAPI, Header
from pusher import Pusher

app = FastAPI()


@cache
def pusher_client():
    return Pusher(os.environ["PUSHER_APP_ID"], os.environ["PUSHER_KEY"], os.environ["PUSHER_SECRET"], cluster="eu")


@app.post("/pay", status_code=204)
def pay(pusher: Annotated[Pusher, Depends(pusher_client)], x_socket_id: Annotated[str | None, Header()] = None):
    pusher.trigger("pay_channel", "pay_notify", {"message": "pay success!"}, x_socket_id)
