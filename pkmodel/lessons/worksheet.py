"""A lesson on paper: to be replaced by the printable page."""

from __future__ import annotations

from html import escape

from pkmodel.lessons.lesson import Lesson


def page(lesson: Lesson, *, with_answers: bool) -> str:
    """Self-contained HTML."""
    return f"<!doctype html><html lang='en'><title>{escape(lesson.title)}</title><h1>{escape(lesson.title)}</h1></html>"
        f"<!doctype html><html lang='en'><title>{escape(lesson.title)}</title><h1>{escape(lesson.title)}</h1></html>"
