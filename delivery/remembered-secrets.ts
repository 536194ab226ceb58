import { SluiceError } from '../contracts/error-codes.ts';

/** How long a resolved secret is used before it is asked for again, in milliseconds: what a rotation waits for. */
const REMEMBERED_MS = 60_000;

/** Secrets by name, kept for a minute at most. */
export interface RememberedSecrets<Value> {
  /** @throws SluiceError `configuration_invalid`, which names the reference and never the secret */
  get(name: string): Promise<Value>;
  /** Asks anew the next time. */
  forget(name: string): void;
}

/**
 * Remembers what `resolve` gives and `read` makes of it, so that a secret that a program prints is asked for once a
 * minute and not with every delivery. Those who ask at the same time share one answer; a failure is not remembered.
 */
export function rememberedSecrets<Value>(
  resolve: (name: string) => Promise<string>,
  read: (secret: string) => Value,
  now: () => number = Date.now,
): RememberedSecrets<Value> {
  const kept = new Map<string, { readonly value: Promise<Value>; readonly until: number }>();

  const ask = async (name: string): Promise<Value> => {
    try {
      return read(await resolve(name));
    } catch (error) {
      throw unresolved(name, error);
    }
  };

  return {
    get(name) {
      const known = kept.get(name);
      if (known !== undefined && now() < known.until) return known.value;
      const until = now() + REMEMBERED_MS;
      const value = ask(name);
      kept.set(name, { value, until });
      value.catch(() => kept.get(name)?.value === value && kept.delete(name));
      return value;
    },
    forget: (name) => kept.delete(name),
  };
}

/** Errors of this project say no secret; of any other nothing is repeated. */
function unresolved(name: string, error: unknown): SluiceError {
  const why = error instanceof SluiceError ? error.text.what : 'It cannot be resolved.';
  return new SluiceError('configuration_invalid', {
    what: `Secret \`${name}\` cannot be used: ${why}`,
    expected:
      error instanceof SluiceError ? error.text.expected : 'A reference that this worker can resolve.',
    safe: 'Nothing was sent.',
  });
}
