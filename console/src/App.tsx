import { useEffect, useState } from "react";
import { getHealth, type Identity, listProviders, me, signIn, signOut } from "./api";
import { Grants } from "./Grants";
import { Inbox } from "./Inbox";
import { Shown } from "./parts";
import { signInProblem } from "./signIn";
import { Player } from "./Player";
import { ReviewPage } from "./ReviewPage";
import { Sessions } from "./Sessions";
import { useReviews } from "./useReviews";

function useHash(): string {
  const [hash, setHash] = useState(window.location.hash);
  useEffect(() => {
    const changed = () => setHash(window.location.hash);
    window.addEventListener("hashchange", changed);
    return () => window.removeEventListener("hashchange", changed);
  }, []);
  return hash;
}

// A link works once, so its token is exchanged once, however often React runs an effect.
let entering: Promise<Identity> | null = null;

async function enter(): Promise<Identity> {
  const refused = /^#\/sign-in\?problem=(\w+)$/.exec(window.location.hash)?.[1];
  if (refused) {
    window.history.replaceState(null, "", "/#/");
    throw new Error(signInProblem(refused));
  }
  const token = /^#\/sign-in\?token=(.+)$/.exec(window.location.hash)?.[1];
  if (!token) return (await me()).identity;
  window.history.replaceState(null, "", "/#/");
  return (await signIn(token)).identity;
}

export function App() {
  const [identity, setIdentity] = useState<Identity | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    entering ??= enter();
    entering.then(setIdentity, (error: Error) => setProblem(error.message));
  }, []);
  if (problem) {
    return <SignedOut problem={problem} />;
  }
  return identity ? <Console identity={identity} /> : null;
}

function SignedOut({ problem }: { problem: string }) {
  const [providers, setProviders] = useState<string[]>([]);
  useEffect(() => {
    listProviders().then(
      (found) => setProviders(found.providers),
      () => undefined,
    );
  }, []);
  return (
    <main className="signed-out">
      <h1>Countersign</h1>
      {providers.map((name) => (
        <p key={name}>
          <a className="button" data-testid={`provider-${name}`} href={`/api/v1/sign-in/begin/${encodeURIComponent(name)}`}>
            Sign in with {name}
          </a>
        </p>
      ))}
      <p>
        {providers.length > 0 ? "Or sign in" : "Sign in"} with a link: run <code>countersign login</code> on the gateway's machine.
      </p>
      <p className="faint" role="status">
        {problem}
      </p>
    </main>
  );
}

const HEALTH_EVERY_MS = 10_000;

/** What is wrong with the gateway, in words: why nothing is let through, and why changed policies are not in force; each empty while all is
 * well. A lost connection is told elsewhere. */
function useTrouble(): { trouble: string; policy: string } {
  const [trouble, setTrouble] = useState({ trouble: "", policy: "" });
  useEffect(() => {
    const ask = () =>
      void getHealth().then(
        (health) => setTrouble({ trouble: health.message, policy: health.policy.problem }),
        () => undefined,
      );
    ask();
    const timer = window.setInterval(ask, HEALTH_EVERY_MS);
    return () => window.clearInterval(timer);
  }, []);
  return trouble;
}

function Console({ identity }: { identity: Identity }) {
  const hash = useHash();
  const { reviews, connected } = useReviews();
  const { trouble, policy } = useTrouble();
  const pending = reviews.filter((review) => review.state === "pending").length;
  useEffect(() => {
    document.title = pending ? `(${pending}) Countersign` : "Countersign";
  }, [pending]);
  const id = /^#\/reviews\/([\w-]+)$/.exec(hash)?.[1];
  const session = /^#\/sessions\/([\w-]+)$/.exec(hash)?.[1];
  const leave = () =>
    void signOut().then(
      ({ sign_out_url: there }) => (there ? window.location.assign(there) : window.location.reload()),
      () => window.location.reload(),
    );
  return (
    <>
      <header>
        <a className="name" href="#/">
          Countersign
        </a>
        <a href="#/">Reviews</a>
        <a href="#/grants">Grants</a>
        <a href="#/sessions">Sessions</a>
        <span data-testid="connection" className={connected ? "live" : "lost"}>
          {connected ? "live" : "connection lost, trying again"}
        </span>
        <span className="who">{identity.name}</span>
        <button onClick={leave}>Sign out</button>
      </header>
      {trouble && (
        <p role="alert" className="warning" data-testid="trouble">
          Nothing is let through: {trouble}.
        </p>
      )}
      {policy && (
        <p role="alert" className="warning" data-testid="policy-problem">
          The policy files hold what is not understood, so the policy before them is in force: <Shown segments={[{ text: policy }]} />
        </p>
      )}
      {id ? (
        <ReviewPage key={id} id={id} known={reviews.find((review) => review.id === id)} />
      ) : session ? (
        <Player key={session} id={session} />
      ) : hash === "#/grants" ? (
        <Grants />
      ) : hash === "#/sessions" ? (
        <Sessions />
      ) : (
        <Inbox reviews={reviews} />
      )}
    </>
  );
}
