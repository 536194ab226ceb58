/** Why a URL may not stand in a file as it is, or null where it may. The URL itself is not repeated. */
export function faultOfPlainUrl(url: string): { what: string; expected: string } | null {
  if (!isPostgresUrl(url)) {
    return {
      what: 'The text is not a PostgreSQL URL.',
      expected: 'Use postgresql://user@host:5432/database, or a reference: { env: NAME }.',
    };
  }
  if (!hasPassword(url)) return null;
  return {
    what: 'The URL holds a password, and this file is no place for one.',
    expected:
      'Keep the URL elsewhere and refer to it: { env: NAME }, { file: PATH } or { command: [PROGRAM, ARG, …] }.',
  };
}

/** A URL of PostgreSQL that names a server or a socket. */
export function isPostgresUrl(text: string): boolean {
  return /^postgres(?:ql)?:\/\//.test(text) && parse(text) !== null;
}

function hasPassword(url: string): boolean {
  const parsed = parse(url);
  if (parsed === null) return false;
  const parameters = [...parsed.searchParams.keys()].map((name) => name.toLowerCase());
  return parsed.password !== '' || parameters.some((name) => name === 'password' || name === 'sslpassword');
}

/** Like the driver, accepts an empty host, as in `postgresql:///app?host=/run/postgresql`. */
function parse(text: string): URL | null {
  return URL.parse?.(text) ?? parseByThrowing(text);
}

function parseByThrowing(text: string): URL | null {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}
