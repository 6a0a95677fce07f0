"""Why was it refused? What should have been signed, and the mistake that most likely was made instead.

For a developer's eyes: what is told here helps an attacker too. No answer holds a secret or a whole valid signature.
"""

from relay.explain.claims import explain_channel, explain_message, explain_signin
from relay.explain.explanation import Cause, Explanation
from relay.explain.requests import explain_request
from relay.explain.telling import tell

__all__ = ["Cause", "Explanation", "explain_channel", "explain_message", "explain_request", "explain_signin", "tell"]
