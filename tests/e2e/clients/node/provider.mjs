// A real OpenID Connect provider: node provider.mjs PORT CLIENT_ID CLIENT_SECRET CONSOLE_URL. Whoever signs in as NAME is
// NAME@example.com, in the groups that follow a plus sign: ann+dba+staff. Names that begin with "new" have addresses that nobody has verified.
import Provider from "oidc-provider";

const [port, id, secret, home] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const provider = new Provider(issuer, {
  clients: [
    {
      client_id: id,
      client_secret: secret,
      redirect_uris: [`${home}/api/v1/sign-in/callback`],
      post_logout_redirect_uris: [`${home}/`],
    },
  ],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["groups"] },
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  cookies: { keys: ["of no worth"] },
  findAccount: (_, name) => ({
    accountId: name,
    claims: () => {
      const [first, ...groups] = name.split("+");
      return { sub: name, email: `${first}@example.com`, email_verified: !first.startsWith("new"), groups };
    },
  }),
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
