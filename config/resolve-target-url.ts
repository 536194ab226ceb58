import { SluiceError } from '../contracts/error-codes.ts';
import type { TargetConfig, UrlRef } from './config.ts';
import { isPostgresUrl } from './plain-url.ts';
import { describeSecret, resolveSecret } from './resolve-secret.ts';
import type { SecretRef } from './secret-ref.ts';

export interface ResolveUrlOptions {
  /** Gives the URL of the embedded PostgreSQL, with its password. */
  readonly resolveLocalUrl: () => Promise<string>;
  readonly env?: NodeJS.ProcessEnv;
}

/**
 * The connection URL of a target, with its password: for the moment of use, never for a log or a history.
 *
 * @throws SluiceError `configuration_invalid`, and what `resolveLocalUrl` throws
 */
export function resolveTargetUrl(target: TargetConfig, options: ResolveUrlOptions): Promise<string> {
  return resolveUrl(target.url, options);
}

/** URL of the server that backups are restored into, or null where none is configured. */
export async function resolveRestoreUrl(
  target: TargetConfig,
  options: ResolveUrlOptions,
): Promise<string | null> {
  return target.restoreServer === null ? null : resolveUrl(target.restoreServer, options);
}

async function resolveUrl(ref: UrlRef, options: ResolveUrlOptions): Promise<string> {
  if (ref.kind === 'local') return options.resolveLocalUrl();
  if (ref.kind === 'plain') return ref.url;
  return resolveSecretUrl(ref, options.env);
}

/**
 * The URL of a PostgreSQL behind a reference, with its password; it is not repeated where it is none.
 *
 * @throws SluiceError `configuration_invalid`
 */
export async function resolveSecretUrl(
  ref: SecretRef,
  env: NodeJS.ProcessEnv = process.env,
): Promise<string> {
  const url = await resolveSecret(ref, env);
  if (isPostgresUrl(url)) return url;
  throw new SluiceError('configuration_invalid', {
    what: `What ${describeSecret(ref)} gives is not a PostgreSQL URL.`,
    expected: 'Expected postgresql://user:password@host:5432/database.',
    safe: 'Nothing was changed.',
  });
}
