/** What the console says of a sign-in that failed. The code comes with the address, which anybody can make; the words do not. */
const PROBLEMS: Record<string, string> = {
  code_refused: "the provider does not take the code that it gave: begin again",
  email_unverified: "the provider has not verified this e-mail address",
  issuer_unreachable: "the provider's keys cannot be had now: try again later",
  no_name: "the provider says no name that could be one here",
  no_provider: "there is no such provider",
  provider_unreachable: "the provider does not answer as a provider does: try again later",
  refused_there: "the provider did not sign you in",
  wrong_secret: "this sign-in was not begun in this browser, or too long ago: begin again",
};

/** In words; of a code that is not known, that nobody was signed in. */
export const signInProblem = (code: string) =>
  Object.hasOwn(PROBLEMS, code) ? PROBLEMS[code] : "the provider's answer proves nothing: nobody was signed in";
