/** The settings of libpq that name a server; a password or a user alone does not. */
const NAMING = ['PGHOST', 'PGHOSTADDR', 'PGPORT', 'PGDATABASE'] as const;

/**
 * The URL of the PostgreSQL that the environment names: `DATABASE_URL`, else `PG*`; `undefined` when it names
 * none. The URL may hold a password.
 */
export function configuredPostgres(env: NodeJS.ProcessEnv = process.env): string | undefined {
  if (env.DATABASE_URL) return env.DATABASE_URL;
  if (!NAMING.some((name) => env[name])) return undefined;
  const url = new URL('postgresql://localhost');
  const host = env.PGHOSTADDR || env.PGHOST || 'localhost';
  if (host.startsWith('/')) url.searchParams.set('host', host);
  else url.hostname = host.includes(':') ? `[${host}]` : host;
  const user = env.PGUSER || env.USER || 'postgres';
  url.username = encodeURIComponent(user);
  if (env.PGPASSWORD) url.password = encodeURIComponent(env.PGPASSWORD);
  if (env.PGPORT) url.port = env.PGPORT;
  url.pathname = `/${encodeURIComponent(env.PGDATABASE || user)}`;
  if (env.PGSSLMODE) url.searchParams.set('sslmode', env.PGSSLMODE);
  return url.href;
}

/** A database URL without its password, for people and logs. */
export function withoutPassword(url: string): string {
  try {
    const shown = new URL(url);
    shown.password = '';
    shown.searchParams.delete('password');
    return shown.href;
  } catch {
    return '(a database URL that cannot be read)';
  }
}
