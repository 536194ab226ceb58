import type * as PgQuery from 'libpg-query';

/** PostgreSQL's own parser: its functions answer at once, and offsets in its tree count UTF-8 bytes. */
export type Parser = Pick<typeof PgQuery, 'parseSync' | 'parsePlPgSQLSync' | 'hasSqlDetails'>;

let loading: Promise<Parser> | undefined;

/** The parser, loaded once per process and only when something is planned. */
export function parser(): Promise<Parser> {
  loading ??= import('libpg-query').then(async (loaded) => {
    await loaded.loadModule();
    return loaded;
  });
  return loading;
}
