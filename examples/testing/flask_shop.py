"""A shop on Flask that tells open browsers about payments through hosted Pusher."""

import os

from flask import Flask, request
from pusher import Pusher

app = Flask(__name__)
pusher_client = Pusher.from_url(os.environ.get("PUSHER_URL", "https://key:secret@api-eu.pusher.com/apps/1001"))


@app.post("/pay")
def pay():
    if request.form["card"] == "expired":
        return "card expired", 402
    socket_id = request.headers.get("X-Socket-ID")
    pusher_client.trigger("pay_channel", "pay_notify", {"message": "pay success!"}, socket_id)
    return "", 204
