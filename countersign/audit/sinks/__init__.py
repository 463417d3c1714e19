"""Where records and checkpoints are given to: files, collectors of syslog, webhooks, object storage.

A sink takes parcels, one after the other. It returns once a parcel is kept, and raises ``SinkError`` where it is not or nobody knows: then
the same parcel is given again. What an error says is shown to people, so it holds no secret and nothing of what stands in an address behind
its host (I6).
"""

from countersign.audit.sinks.contract import Parcel, Sink, SinkError
from countersign.audit.sinks.file import FileSink
from countersign.audit.sinks.objects import ObjectSink
from countersign.audit.sinks.syslog import SyslogSink
from countersign.audit.sinks.webhook import WebhookSink
from countersign.audit_settings import FilePlace, Place, SyslogPlace, WebhookPlace
from countersign.model.clock import Clock

__all__ = ["FileSink", "ObjectSink", "Parcel", "Sink", "SinkError", "SyslogSink", "WebhookSink", "sink_for"]


def sink_for(place: Place, clock: Clock) -> Sink:
    """The sink of a place. Nothing is opened yet."""
    if isinstance(place, FilePlace):
        return FileSink(place)
    if isinstance(place, SyslogPlace):
        return SyslogSink(place)
    if isinstance(place, WebhookPlace):
        return WebhookSink(place, clock)
    return ObjectSink(place)
