"""Events as OpenTelemetry spans: one for the call, and in it one for each step, with its statements as events.

It upgrades an in-memory SQLite, and prints the spans.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Span, Status, StatusCode, Tracer
from sqlalchemy import StaticPool, create_engine

from dbmigrate import (
    Event,
    MemorySource,
    Migrator,
    Retrying,
    StatementFinished,
    Step,
    StepStarted,
    Waiting,
    sql_migration,
)

if TYPE_CHECKING:
    from collections.abc import Generator


@dataclass
class Spans:
    """What to pass as `on_event`. A step has a span from its start until it is committed."""

    tracer: Tracer
    call: Span
    steps: dict[str, Span] = field(default_factory=dict[str, Span])

    def __call__(self, event: Event) -> None:
        """Turn an event into a span, or into an event of one."""
        if isinstance(event, Waiting):
            self.call.add_event("waiting", {"seconds": event.seconds, "holder": event.holder or "unknown"})
        elif isinstance(event, StepStarted):
            self._end(event.step, Status(StatusCode.ERROR, "another migrator was in the way; it starts again"))
            self.steps[str(event.step)] = self.tracer.start_span(
                f"migration {event.step}",
                attributes={
                    "dbmigrate.version": event.step.migration.version,
                    "dbmigrate.name": event.step.migration.name,
                    "dbmigrate.direction": event.step.direction,
                    "dbmigrate.transactional": event.step.transactional,
                },
            )
        elif isinstance(event, Retrying):
            self._end(event.step, Status(StatusCode.ERROR, f"{event.error}; it will be tried again"))
        elif isinstance(event, StatementFinished):
            numbers = {"ordinal": event.ordinal, "count": event.count, "seconds": event.seconds}
            self.steps[str(event.step)].add_event("statement", numbers)
        else:
            self.steps[str(event.outcome.step)].set_attribute("dbmigrate.seq", event.outcome.record.seq)
            self._end(event.outcome.step, Status(StatusCode.OK))

    def fail(self, error: BaseException) -> None:
        """End the spans of what did not end: there is no event for a failure, the call raises it."""
        for span in self.steps.values():
            span.record_exception(error)
            span.set_status(Status(StatusCode.ERROR, str(error)))
            span.end()
        self.steps.clear()

    def _end(self, step: Step, status: Status) -> None:
        span = self.steps.pop(str(step), None)
        if span is not None:
            span.set_status(status)
            span.end()


@contextmanager
def traced(tracer: Tracer, name: str) -> Generator[Spans]:
    """Give what to pass as `on_event` for one call of a Migrator; the span of the call ends with the block."""
    with tracer.start_as_current_span(name) as call:
        spans = Spans(tracer, call)
        try:
            yield spans
        except BaseException as error:
            spans.fail(error)
            raise


def main() -> None:
    """Upgrade, and print what was exported."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    users = sql_migration("1", "users", "CREATE TABLE users (id INTEGER); INSERT INTO users VALUES (1)")
    email = sql_migration("2", "email", "ALTER TABLE users ADD COLUMN email TEXT")
    engine = create_engine("sqlite://", poolclass=StaticPool)

    with traced(trace.get_tracer("shop"), "upgrade") as on_event:
        Migrator(engine, MemorySource([users, email]), on_event=on_event).upgrade()

    for span in exporter.get_finished_spans():
        print(span.name, *(event.name for event in span.events))
    engine.dispose()


if __name__ == "__main__":
    main()
