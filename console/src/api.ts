// The public REST API, as the console uses it.

export interface Segment {
  text: string;
  mark?: string;
}

export interface Statement {
  kind: string;
  effects: string[];
  summary: string;
  reasons: string[];
}

export interface Decision {
  reviewer: string;
  kind: string;
  reason: string;
  decided_at: string;
}

/** A step of a review. No reviewers: any administrator or reviewer. */
export interface Step {
  reviewers: string[];
  approvals: number;
  approved_by: string[];
  is_done: boolean;
  escalates_at: string | null;
  escalate_to: string[];
}

/** What commands have in common that differ in their literals, each a kind and a value. */
export interface Shape {
  text: string;
  text_shown: Segment[];
  literals: [string, string][];
}

export interface GrantWish {
  seconds: number;
  uses: number;
  literals: Record<number, string>;
}

export interface GrantRange {
  any?: boolean;
  from?: number;
  to?: number;
  values?: [string, string][];
}

export interface Grant {
  id: string;
  review_id: string;
  identity: string;
  target: string;
  database: string;
  granted_by: string;
  reason: string;
  uses: number;
  used: number;
  expires_at: string;
  shape_shown: Segment[];
  ranges: GrantRange[];
}

export type DecisionKind = "approve" | "deny" | "take-back" | "force";

export interface Review {
  id: string;
  state: string;
  session_id: string;
  target: string;
  identity: string;
  on_behalf_of: string;
  digest: string;
  rule: string;
  outcome: string;
  created_at: string;
  expires_at: string;
  updated_at: string;
  steps: Step[];
  /** What the reader could decide now; only where one review was asked for. */
  may?: string[];
  /** Why it cannot be approved for at most so many rows; empty where it can. */
  bound_problem: string;
  /** Null where its command is none that could be granted. */
  shape: Shape | null;
  decisions: Decision[];
  command: {
    text: string;
    text_shown: Segment[];
    effects: string[];
    statements: Statement[];
    parameters: { shown: string; is_null: boolean }[];
    not_bound: string[];
  };
  spoofing: string[];
  client_address: string;
  application: string;
  database: string;
  claims: Record<string, string>;
  recent: { text: string; verdict: string; at: string }[];
}

export interface Reach {
  is_exact: boolean;
  notes: string[];
  statements: {
    kind: string;
    rows: number;
    touched: { relation: string; how: string; rows: number }[];
    sample: Sample | null;
  }[];
}

/** Rows that a statement changes, masked and cut; null where nothing stands there or it is not known. */
export interface Sample {
  columns: string[];
  masked: boolean[];
  rows: { before: (string | null)[] | null; after: (string | null)[] | null }[];
}

export interface Session {
  id: string;
  identity: string;
  target: string;
  client_address: string;
  database: string;
  application: string;
  started_at: string;
  ended_at: string | null;
}

/** An event of a recording: docs/recordings.md says which fields each type has. */
export interface RecordedEvent {
  t: number;
  type: string;
  [field: string]: unknown;
}

export interface RecordingPage {
  events: RecordedEvent[];
  next: string | null;
  problem: string | null;
  length_s: number;
  is_closed: boolean;
}

export interface Identity {
  name: string;
  groups: string[];
}

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const response = await fetch(`/api/v1/${path}`, {
    method,
    headers: { "Content-Type": "application/json", "X-Countersign": "console" },
    body: body === undefined ? null : JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new ApiError(response.status, `${answer.error.message} (${answer.error.id})`);
  return answer as T;
}

export const me = () => call<{ identity: Identity }>("GET", "me");
export const signIn = (token: string) => call<{ identity: Identity }>("POST", "console-session", { token });
/** How the audit log is doing; `message` is empty while all is well. */
export const getHealth = () => call<{ status: string; message: string; policy: { problem: string } }>("GET", "health");
export const signOut = () => call<{ sign_out_url: string }>("DELETE", "console-session");
/** Whom one may sign in with; asked before anybody is. */
export const listProviders = () => call<{ providers: string[] }>("GET", "sign-in");
export const listSessions = () => call<{ sessions: Session[] }>("GET", "sessions");
export const readRecording = (id: string, from: number, after: string) =>
  call<RecordingPage>("GET", `sessions/${encodeURIComponent(id)}/recording?${new URLSearchParams({ from: String(from), after })}`);
export const listReviews = () => call<{ reviews: Review[] }>("GET", "reviews?limit=200");
export const getEstimate = (id: string) => call<Reach>("GET", `reviews/${encodeURIComponent(id)}/estimate`);
export const dryRun = (review: Review) =>
  call<Reach>("POST", `reviews/${encodeURIComponent(review.id)}/dry-run`, { digest: review.digest });
export const getReview = (id: string) => call<Review>("GET", `reviews/${encodeURIComponent(id)}`);

/** Decide on the digest that was on the screen; the gateway refuses any other. */
export const decide = (
  review: Review,
  kind: DecisionKind,
  reason: string,
  terms: { grant?: GrantWish; at_most_rows?: number; proposal?: string } = {},
) =>
  call<Review>("POST", `reviews/${encodeURIComponent(review.id)}/${kind}`, { digest: review.digest, reason, ...terms });

export const listGrants = () => call<{ grants: Grant[] }>("GET", "grants");
export const revokeGrant = (id: string) => call<{ grant: Grant }>("DELETE", `grants/${encodeURIComponent(id)}`);
