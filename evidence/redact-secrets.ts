/** What stands where a secret was. */
export const REDACTED = '[redacted]';

const SECRET_WORD =
  '[\\w-]*?(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential)';
const NAMED = `(?:\\\\?")?(?<![\\w-])${SECRET_WORD}\\b(?:\\\\?")?`;
const QUOTED = `"(?:[^"\\\\]|\\\\.)*"|'(?:[^']|'')*'|\\\\"[^"\\\\]*\\\\"`;
const BARE = `[^\\s,;&)}"'\\\\]+`;

type Rule = readonly [pattern: RegExp, replacement: string];
const RULES: readonly Rule[] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, REDACTED],
  // Connection strings: a password may contain `@`, and in a malformed one `/`.
  [/\b(postgres(?:ql)?:\/\/[^\s:@/"'<>]*):[^\s"'<>]*@/gi, `$1:${REDACTED}@`],
  [/(?<![a-z0-9+.-])([a-z][a-z0-9+.-]*:\/\/[^\s:@/"'<>]*):[^\s"'<>/]*@/gi, `$1:${REDACTED}@`],
  [/\b(authorization["']?\s*[:=]\s*["']?(?:(?:bearer|basic)\s+)?)[^\s"',;]+/gi, `$1${REDACTED}`],
  [/\b(Bearer)\s+[A-Za-z0-9._~+/=-]{20,}/g, `$1 ${REDACTED}`],
  [/SCRAM-SHA-256\$[^\s"']+/g, REDACTED],
  // `create role … password 'x'`
  [/\b(password)\s+(?:E?'(?:[^']|'')*'|\$\$[\s\S]*?\$\$)/gi, `$1 ${REDACTED}`],
  // `"token": "x"`, `password = 'x'`, `v_token := 'x'`
  [new RegExp(`(${NAMED}\\s*(?::?=|:)\\s*)(?:${QUOTED})`, 'gi'), `$1${REDACTED}`],
  // `password=x` as in a connection string
  [new RegExp(`(${NAMED}=)${BARE}`, 'gi'), `$1${REDACTED}`],
];
/** `password: x`, `password = x`: in a script this is a column or a variable, in a message it may be the secret. */
const IN_MESSAGES: Rule = [
  new RegExp(`(${NAMED}\\s*(?:=(?!=)|:(?![=:]))\\s*)${BARE}`, 'gi'),
  `$1${REDACTED}`,
];
const SECRET_KEY = new RegExp(`^${SECRET_WORD}$`, 'i');

/** Cuts out what looks like a secret: passwords in connection strings, `password=…`, tokens, private keys. */
export function redactSecrets(text: string): string {
  return apply([...RULES, IN_MESSAGES], text);
}

/** The same for SQL, where `token = v_token` compares a column and gives nothing away. */
export function redactScript(text: string): string {
  return apply(RULES, text);
}

function apply(rules: readonly Rule[], text: string): string {
  return rules.reduce((cut, [pattern, replacement]) => cut.replace(pattern, replacement), text);
}

/** The same for every text inside a JSON value; a text under a key that names a secret goes as a whole. */
export function redactDeep(value: unknown): unknown {
  if (typeof value === 'string') return redactSecrets(value);
  if (Array.isArray(value)) return value.map(redactDeep);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      redactSecrets(key),
      typeof inner === 'string' && inner !== '' && SECRET_KEY.test(key) ? REDACTED : redactDeep(inner),
    ]),
  );
}

/** A text that holds JSON: returned unchanged, letter for letter, unless something must be cut out of it. */
export function redactJsonText(text: string): { readonly text: string; readonly redacted: boolean } {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    const cut = redactSecrets(text);
    return { text: cut, redacted: cut !== text };
  }
  const before = JSON.stringify(parsed);
  const after = JSON.stringify(redactDeep(parsed));
  return before === after ? { text, redacted: false } : { text: after, redacted: true };
}
