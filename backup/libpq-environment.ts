import pg from 'pg';
import { serverEnvironment } from '../local/server-environment.ts';

const SSL_PARAMETERS: Readonly<Record<string, string>> = {
  sslmode: 'PGSSLMODE',
  sslrootcert: 'PGSSLROOTCERT',
  sslcert: 'PGSSLCERT',
  sslkey: 'PGSSLKEY',
  sslcrl: 'PGSSLCRL',
};

/**
 * The environment with which PostgreSQL's own programs connect where `url` points: nothing of it, and above
 * all no password, is ever an argument. Messages come in English.
 */
export function libpqEnvironment(url: string, applicationName: string): NodeJS.ProcessEnv {
  const client = new pg.Client({ connectionString: url });
  const env: NodeJS.ProcessEnv = {
    ...serverEnvironment(),
    PGHOST: client.host,
    PGPORT: String(client.port),
    PGAPPNAME: applicationName,
    PGCONNECT_TIMEOUT: '10',
  };
  if (client.user !== undefined) env.PGUSER = client.user;
  if (client.database !== undefined) env.PGDATABASE = client.database;
  if (typeof client.password === 'string') env.PGPASSWORD = client.password;
  else if (process.env.PGPASSFILE !== undefined) env.PGPASSFILE = process.env.PGPASSFILE;
  const parameters = new URL(url).searchParams;
  for (const [parameter, name] of Object.entries(SSL_PARAMETERS)) {
    const value = parameters.get(parameter) ?? process.env[name];
    // `no-verify` is a word of node-postgres; libpq says `require` for it.
    if (value !== undefined) env[name] = value === 'no-verify' ? 'require' : value;
  }
  return env;
}
