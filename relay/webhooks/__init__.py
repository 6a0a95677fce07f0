"""What to send to the receivers of webhooks, and when: what happened and the time come in, requests go out."""

from relay.webhooks.news import event_of, needed
from relay.webhooks.schedule import GIVE_UP_AFTER, Schedule
from relay.webhooks.sender import Answer, Request, Sender

__all__ = ["GIVE_UP_AFTER", "Answer", "Request", "Schedule", "Sender", "event_of", "needed"]
