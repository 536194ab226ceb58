/** Names under which people put secrets; `signing_secrets` holds names of them and is judged by its values. */
const SECRET_NAME =
  /^(?:.*[_-])?(?:secrets?|tokens?|passwords?|passwd|passphrase|pwd|credentials?|authorization|cookie|bearer|signature|api[_-]?keys?|access[_-]?keys?|private[_-]?keys?|signing[_-]?keys?)$/i;

/** Secrets that show what they are. */
const SECRET_TEXT =
  /^\s*(?:whsec_|sk-|sk_live_|rk_live_|gh[pousr]_|github_pat_|xox[abprs]-|glpat-|AKIA[0-9A-Z]{16}|eyJ[\w-]{10,}\.|-----BEGIN|(?:bearer|basic)\s+\S)/i;

/** A user, with or without a password, in a URL. */
const USER_IN_URL = /^[a-z][a-z0-9+.-]*:\/\/[^/?#\s]*@/i;

/**
 * Where a route's config holds what looks like a secret itself, as a path such as `config.headers.x-api-key`; null where
 * it does not. Whoever can read the route could read it; a route names secrets of `delivery.secrets` instead.
 */
export function literalSecretIn(config: Readonly<Record<string, unknown>>): string | null {
  return find(config, 'config', false);
}

function find(value: unknown, path: string, isNamedSecret: boolean): string | null {
  if (typeof value === 'string') {
    const isSecret = isNamedSecret ? value !== '' : SECRET_TEXT.test(value) || USER_IN_URL.test(value);
    return isSecret ? path : null;
  }
  if (Array.isArray(value)) return first(value.map((item, at) => find(item, `${path}.${at}`, isNamedSecret)));
  if (typeof value !== 'object' || value === null) return null;
  return first(
    Object.entries(value).map(([key, inner]) => {
      const named = key !== 'signing_secrets' && (isNamedSecret || SECRET_NAME.test(key));
      return find(inner, `${path}.${key}`, named);
    }),
  );
}

function first(found: readonly (string | null)[]): string | null {
  return found.find((path) => path !== null) ?? null;
}
