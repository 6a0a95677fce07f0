"""The kit needs no pytest: `unittest` brings its own loop."""

from unittest import IsolatedAsyncioTestCase

from relay.testing import Kit


class Payment(IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.kit = Kit()
        self.addCleanup(self.kit.close)

    async def test_everyone_but_the_payer_is_told(self) -> None:
        payer, clerk = await self.kit.connect(), await self.kit.connect()
        await payer.subscribe("pay_channel")
        orders = await clerk.subscribe("pay_channel")
        await self.kit.hub.trigger("pay_channel", "pay_notify", "paid", socket_id=payer.socket_id)
        await orders.expect("pay_notify")
        await payer.expect_nothing()
