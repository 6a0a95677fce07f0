import django_shop  # noqa: F401 - it has the settings
import pytest
from django.test import Client, override_settings


@pytest.fixture
def browser(relay_server):
    with override_settings(PUSHER=relay_server.pusher):
        yield Client(headers={"Cookie": "user=ada"})


def test_payment_is_announced_in_public_and_to_the_user(browser, relay_server):
    browser.post("/pay")

    [published] = relay_server.published(event="pay_notify")
    assert published.channels == ("pay_channel", "private-user-ada")
    assert published.data == {"message": "pay success!"}


def test_nobody_listens_to_what_is_another_users(browser):
    answer = browser.post("/pusher/auth", {"channel_name": "private-user-bob", "socket_id": "123.456"})

    assert answer.status_code == 403


def test_the_signature_for_ones_own_channel_is_right(browser, relay_server):
    answer = browser.post("/pusher/auth", {"channel_name": "private-user-ada", "socket_id": "123.456"})

    assert answer.json() == relay_server.hub.authorize_channel("123.456", "private-user-ada")
