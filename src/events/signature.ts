import { Webhook } from 'standardwebhooks'

const PREFIX = 'whsec_'
/** As many as the MAC has: more would not make it stronger. */
const SECRET_BYTES = 32

/** A secret in the form of Standard Webhooks. `randomBytes` must be cryptographically random. */
export const newSecret = (randomBytes: (size: number) => Buffer): string =>
  `${PREFIX}${randomBytes(SECRET_BYTES).toString('base64')}`

/** The headers of Standard Webhooks, with a signature by each of the secrets. */
export function signedHeaders(
  { id, body, atMs }: { readonly id: string; readonly body: string; readonly atMs: number },
  secrets: readonly string[],
): Readonly<Record<string, string>> {
  const at = new Date(atMs)
  return {
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(atMs / 1_000)),
    'webhook-signature': secrets.map((secret) => new Webhook(secret).sign(id, at, body)).join(' '),
  }
}
