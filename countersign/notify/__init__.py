"""Tells people of reviews where they are, and takes their decisions from there.

Words: a *notice* is one move of a review, made from its record in the audit log; a *channel* is told notices; a *dead letter* is a notice that
was given up. Channels hang behind the log, never in front of a review: each has a cursor over the log's ``review.*`` records, and one that
is down holds up neither a review nor another channel. What a channel raises is shown to people, so it holds no secret (I6).
"""

from countersign.notify.channels import CHANNELS, ChannelProblem, Channels, Telling, channel_name, tellings
from countersign.notify.contract import Channel, DeadLetter, Notice, NoticeStore
from countersign.notify.telling import Reminders

__all__ = [
    "CHANNELS",
    "Channel",
    "ChannelProblem",
    "Channels",
    "DeadLetter",
    "Notice",
    "NoticeStore",
    "Reminders",
    "Telling",
    "channel_name",
    "tellings",
]
