"""Recordings as one HTML file that needs no network, plays in any browser and can be read without script too.

What is recorded is hostile: every text comes from the renderer and is escaped, and the file's own policy lets nothing run but the script
below, by its digest, and nothing be loaded from anywhere.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator
from html import escape

from countersign.recording.reader import RecordingInfo
from countersign.recording.render import Event, Line, Renderer, Style, clock, mark
from countersign.reviews.preview import one_line

CELL = 500
"""Letters of a value that are shown."""
CLASSES = {Style.ERROR: "s-error"}  # "error" is what an event is marked as

STYLE = """
:root { color-scheme: light dark; font: 14px/1.5 system-ui, sans-serif }
body { max-width: 75rem; margin: 0 auto; padding: 1rem }
h1 { font-size: 1.2rem; overflow-wrap: anywhere }
#controls { position: sticky; top: 0; background: Canvas; padding: .5rem 0; display: flex; flex-wrap: wrap; gap: .5rem; align-items: center }
#line { position: relative; flex-basis: 100% }
#at { width: 100%; margin: 0 }
#marks { position: relative; height: .6rem; margin: 0 .5rem }
#marks button { position: absolute; width: .4rem; height: .6rem; padding: 0; border: 0; transform: translateX(-50%) }
.event { display: flex; gap: 1rem; border-left: .25rem solid transparent; padding-left: .5rem }
.event time { opacity: .65; font: 12px/1.5 ui-monospace, monospace }
.event pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; direction: ltr; font: 13px/1.5 ui-monospace, monospace }
.later { display: none }
.found { outline: 2px solid Highlight }
.held { border-color: #b7791f } .approved { border-color: #2f855a } .denied, .error { border-color: #c53030 }
#marks .held { background: #b7791f } #marks .approved { background: #2f855a } #marks .denied, #marks .error { background: #c53030 }
.command { font-weight: bold } .good { color: light-dark(#22703f, #68d391) } .warning { color: light-dark(#8a5a00, #f6ad55) }
.s-error { color: light-dark(#b02020, #fc8181) } .note { opacity: .75 }
"""

SCRIPT = """
"use strict";
const all = [...document.querySelectorAll(".event")].map(element => ({ element, t: Number(element.dataset.t) }));
const length = all.length ? all[all.length - 1].t : 0;
const by = id => document.getElementById(id);
const at = by("at"), play = by("play"), speed = by("speed"), skip = by("skip"), now = by("now"), find = by("find"), hits = by("hits");
let time = length, shown = all.length, playing = false, before = 0;
const clock = s => `${String(Math.floor(s / 60)).padStart(2, "0")}:${(s % 60).toFixed(1).padStart(4, "0")}`;
function show(follow) {
  while (shown < all.length && all[shown].t <= time) all[shown++].element.classList.remove("later");
  while (shown > 0 && all[shown - 1].t > time) all[--shown].element.classList.add("later");
  at.value = time;
  now.textContent = `${clock(time)} of ${clock(length)}`;
  if (follow && shown > 0) all[shown - 1].element.scrollIntoView({ block: "nearest" });
}
function seek(to) { time = Math.min(length, Math.max(0, to)); show(true); }
function frame(stamp) {
  if (!playing) return;
  time += (stamp - before) / 1000 * Number(speed.value);
  before = stamp;
  if (skip.checked && shown < all.length && all[shown].t - time > 1) time = all[shown].t - 1;
  if (time >= length) { time = length; toggle(); }
  show(true);
  requestAnimationFrame(frame);
}
function toggle() {
  playing = !playing;
  play.textContent = playing ? "Pause" : "Play";
  if (!playing) return;
  if (time >= length) seek(0);
  before = performance.now();
  requestAnimationFrame(frame);
}
function search(from) {
  document.querySelectorAll(".found").forEach(element => element.classList.remove("found"));
  const wanted = find.value.toLowerCase();
  const found = wanted ? all.filter(one => one.element.lastChild.textContent.toLowerCase().includes(wanted)) : [];
  hits.textContent = wanted ? `${found.length} found` : "";
  found.forEach(one => one.element.classList.add("found"));
  const next = found.find(one => one.t > from) ?? found[0];
  if (next) { if (next.t > time || from >= 0) seek(next.t); next.element.scrollIntoView({ block: "center" }); }
}
for (const one of all) {
  const kind = one.element.dataset.mark;
  if (!kind) continue;
  const button = document.createElement("button");
  button.className = kind;
  button.title = `${kind} at ${clock(one.t)}`;
  button.style.left = `${length ? one.t / length * 100 : 0}%`;
  button.addEventListener("click", () => seek(one.t));
  by("marks").append(button);
}
at.max = length;
at.addEventListener("input", () => seek(Number(at.value)));
play.addEventListener("click", toggle);
find.addEventListener("input", () => search(-1));
find.addEventListener("keydown", event => { if (event.key === "Enter") search(time); });
document.addEventListener("keydown", event => {
  if (/^(INPUT|SELECT|BUTTON)$/.test(event.target.tagName)) return;
  if (event.key === " ") { event.preventDefault(); toggle(); }
  if (event.key === "ArrowRight") seek(time + 5);
  if (event.key === "ArrowLeft") seek(time - 5);
});
by("controls").hidden = false;
show(false);
"""

CONTROLS = """<div id="controls" hidden>
<button id="play">Play</button>
<label>Speed <select id="speed"><option>0.5</option><option selected>1</option><option>2</option><option>5</option><option>20</option></select></label>
<label><input type="checkbox" id="skip" checked> Skip pauses</label>
<label>Search <input type="search" id="find"></label><output id="hits"></output>
<output id="now"></output>
<div id="line"><input type="range" id="at" min="0" step="any" aria-label="Time"><div id="marks"></div></div>
</div>
"""


def page(info: RecordingInfo, events: Iterable[Event]) -> Iterator[str]:
    """The file in pieces, one an event."""
    title = escape(one_line(f"{info.session_id}: {info.identity} -> {info.target} ({info.database})", 300))
    policy = f"default-src 'none'; script-src {_digest(SCRIPT)}; style-src {_digest(STYLE)}; base-uri 'none'; form-action 'none'"
    yield (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="referrer" content="no-referrer"><meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n{CONTROLS}<main>\n"
    )
    renderer = Renderer(CELL, info.database)
    for event in events:
        lines = renderer.lines(event)
        if lines:
            yield _element(event, lines)
    yield f"</main>\n<script>{SCRIPT}</script>\n</body></html>\n"


def _element(event: Event, lines: list[Line]) -> str:
    time = float(event.get("t", 0))
    marked = mark(event) or ""
    text = "\n".join(f'<span class="{CLASSES.get(line.style, line.style)}">{escape(line.text)}</span>' for line in lines)
    return (
        f'<div class="event {marked}" data-t="{time:.6f}" data-mark="{marked}"><time>{clock(time)}</time><pre>{text}</pre></div>\n'
    )


def _digest(text: str) -> str:
    """How a Content-Security-Policy names an inline script or style (CSP Level 3, "hash-source")."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
