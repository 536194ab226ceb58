import { resolveSecret } from '../config/resolve-secret.ts';
import type { SecretRef } from '../config/secret-ref.ts';
import { SluiceError } from '../contracts/error-codes.ts';

/**
 * Gives a secret by the name that `delivery.secrets` has for it; nothing else can be named. It is resolved at every
 * call and nothing is kept: targets keep what they use, for a minute at most.
 *
 * @throws SluiceError `configuration_invalid`, from the function that it returns: a name that is not configured, or a
 * reference that does not resolve
 */
export function namedSecrets(
  secrets: Readonly<Record<string, SecretRef>>,
  env: NodeJS.ProcessEnv,
): (name: string) => Promise<string> {
  return async (name) => {
    const ref = Object.hasOwn(secrets, name) ? secrets[name] : undefined;
    if (ref !== undefined) return resolveSecret(ref, env);
    throw new SluiceError('configuration_invalid', {
      what: `There is no secret \`${name}\`.`,
      expected: `A name of delivery.secrets in sluice.yaml: ${Object.keys(secrets).join(', ') || 'none is there'}.`,
      safe: 'Nothing was sent.',
    });
  };
}
