import { useEffect, useState } from "react";
import { listSessions, type Session } from "./api";
import { Shown } from "./parts";

/** Who was connected, newest first, and where each session's recording is. */
export function Sessions() {
  const [sessions, setSessions] = useState<Session[] | null>(null);
  const [wanted, setWanted] = useState("");
  const [problem, setProblem] = useState("");
  useEffect(() => {
    listSessions().then(
      (found) => setSessions(found.sessions),
      (error: Error) => setProblem(error.message),
    );
  }, []);
  const listed = (sessions ?? []).filter((one) =>
    `${one.id} ${one.identity} ${one.target} ${one.database} ${one.application}`.toLowerCase().includes(wanted.toLowerCase()),
  );
  return (
    <main>
      <nav>
        <input
          aria-label="filter sessions"
          placeholder="identity, target, id…"
          value={wanted}
          onChange={(event) => setWanted(event.target.value)}
        />
      </nav>
      {problem && <p className="problem">{problem}</p>}
      {sessions !== null && listed.length === 0 && <p className="empty">There is no such session.</p>}
      <ul className="inbox">
        {listed.map((one) => (
          <li key={one.id}>
            <a href={`#/sessions/${one.id}`} data-testid={`session-row-${one.id}`}>
              <span className="line">
                <strong>{one.identity}</strong> → <strong>{one.target}</strong> ({one.database})
                {!one.ended_at && <span className="live">live</span>}
                <span className="when">{new Date(one.started_at).toLocaleString()}</span>
              </span>
              <span className="faint">
                {one.id}, from {one.client_address}
                {one.application && (
                  <>
                    , calls itself <Shown segments={[{ text: one.application }]} />
                  </>
                )}
              </span>
            </a>
          </li>
        ))}
      </ul>
    </main>
  );
}
