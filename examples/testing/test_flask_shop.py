import flask_shop
import pytest
from pusher import Pusher


@pytest.fixture
def shop(relay_server, monkeypatch):
    monkeypatch.setattr(flask_shop, "pusher_client", Pusher(**relay_server.pusher))
    return flask_shop.app.test_client()


def test_payment_is_announced_to_everyone_but_the_payer(shop, relay_server):
    shop.post("/pay", data={"card": "valid"}, headers={"X-Socket-ID": "123.456"})

    [published] = relay_server.published("pay_channel", "pay_notify")
    assert published.data == {"message": "pay success!"}
    assert published.socket_id == "123.456"


def test_a_payment_that_fails_is_not_announced(shop, relay_server):
    assert shop.post("/pay", data={"card": "expired"}).status_code == 402

    assert relay_server.published() == []
