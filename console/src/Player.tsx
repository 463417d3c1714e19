import { useEffect, useRef, useState } from "react";
import { type RecordedEvent, readRecording } from "./api";
import { type Entry, entriesOf, holds, isMarked, merged } from "./replay";
import { Shown } from "./parts";

const TICK_MS = 100;
const IDLE_S = 2;
const FOLLOW_MS = 3000; // each look is on record
const SPEEDS = [1, 4, 16];

/** Reads a recording page by page, and what comes while its session is live. */
function useRecording(id: string) {
  const [events, setEvents] = useState<RecordedEvent[]>([]);
  const [live, setLive] = useState(true);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    let stopped = false;
    let timer = 0;
    let held: RecordedEvent[] = [];
    const read = async (from: number, after = ""): Promise<void> => {
      const page = await readRecording(id, from, after);
      if (stopped) return;
      held = after ? [...held, ...page.events] : merged(held, page.events);
      setEvents(held);
      setProblem(page.problem ?? "");
      if (page.next) return read(from, page.next);
      setLive(!page.is_closed);
      if (!page.is_closed && !page.problem) timer = window.setTimeout(() => void follow(), FOLLOW_MS);
    };
    const again = (error: Error) => {
      if (stopped) return;
      setProblem(error.message); // such as that nothing of it is stored yet
      timer = window.setTimeout(() => void follow(), FOLLOW_MS);
    };
    const follow = () => read(held.at(-1)?.t ?? 0).catch(again);
    void follow();
    return () => {
      stopped = true;
      window.clearTimeout(timer);
    };
  }, [id]);
  return { events, live, problem };
}

/** One session as its client saw it: a timeline to seek on, at any speed, with a search. */
export function Player({ id }: { id: string }) {
  const { events, live, problem } = useRecording(id);
  const [at, setAt] = useState<number | null>(null); // null: all of it, and what comes
  const [speed, setSpeed] = useState(0);
  const [wanted, setWanted] = useState("");
  const end = events.at(-1)?.t ?? 0;
  const clock = useRef(0);
  clock.current = at ?? end;
  useEffect(() => {
    if (!speed) return;
    const timer = window.setInterval(() => {
      const next = events.find((event) => event.t > clock.current);
      if (!next) {
        setSpeed(0);
        setAt(null);
        return;
      }
      const step = (TICK_MS / 1000) * speed;
      setAt(next.t - clock.current > IDLE_S * speed ? next.t : clock.current + step);
    }, TICK_MS);
    return () => window.clearInterval(timer);
  }, [speed, events]);
  const play = (factor: number) => {
    if (at === null || at >= end) setAt(0);
    setSpeed(speed === factor ? 0 : factor);
  };
  const entries = entriesOf(events.filter((event) => event.t <= clock.current));
  const shown = wanted ? entries.filter((entry) => holds(entry, wanted)) : entries;
  return (
    <main>
      <a href="#/sessions">← all sessions</a>
      <h1>
        Session {id} {live && <span className="live">live</span>}
      </h1>
      {problem && (
        <p role="alert" className="warning">
          {problem}
        </p>
      )}
      <div className="player">
        {SPEEDS.map((factor) => (
          <button key={factor} aria-pressed={speed === factor} onClick={() => play(factor)}>
            {speed === factor ? "❚❚" : "▶"} {factor}×
          </button>
        ))}
        <span className="timeline">
          <input
            type="range"
            aria-label="time"
            data-testid="seek"
            min={0}
            max={end || 1}
            step="any"
            value={clock.current}
            onChange={(event) => {
              const to = Number(event.target.value);
              setAt(to >= end ? null : to);
            }}
          />
          {end > 0 &&
            events
              .filter(isMarked)
              .map((event, index) => (
                <i key={index} className={event.type} style={{ left: `${(event.t / end) * 100}%` }} title={event.type} />
              ))}
        </span>
        <output>
          {clock.current.toFixed(1)} / {end.toFixed(1)} s
        </output>
        <input aria-label="search" placeholder="search" value={wanted} onChange={(event) => setWanted(event.target.value)} />
      </div>
      <ol className="replay" data-testid="replay">
        {shown.map((entry, index) => (
          <Shot key={index} entry={entry} />
        ))}
      </ol>
    </main>
  );
}

function Shot({ entry }: { entry: Entry }) {
  return (
    <li className={entry.kind}>
      <time>{entry.t.toFixed(3)}</time>
      <div>
        {entry.label && <span className="faint">{entry.label} </span>}
        {entry.review && <a href={`#/reviews/${entry.review}`}>{entry.review}</a>}
        {entry.text && (
          <code>
            <Shown segments={[{ text: entry.text }]} />
          </code>
        )}
        {entry.rows && (
          <table>
            {entry.names && (
              <thead>
                <tr>
                  {entry.names.map((name, at) => (
                    <th key={at} className={entry.masked?.[at] ? "masked" : ""} title={entry.masked?.[at] || undefined}>
                      <Shown segments={[{ text: name }]} />
                    </th>
                  ))}
                </tr>
              </thead>
            )}
            <tbody>
              {entry.rows.map((row, at) => (
                <tr key={at}>
                  {row.map((cell, column) => (
                    <td key={column}>
                      {cell === null ? <span className="faint">NULL</span> : <Shown segments={[{ text: cell }]} />}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </div>
    </li>
  );
}
