import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { SluiceError } from '../contracts/error-codes.ts';
import type { SecretRef } from './secret-ref.ts';

/** How long a command may take to print a secret, in milliseconds. */
const COMMAND_TIMEOUT_MS = 15_000;

/**
 * The secret behind a reference, without the line break at its end. Called where the secret is used, never at
 * start; the result must not be logged, put in argv or recorded. Errors name the reference only.
 *
 * @throws SluiceError `configuration_invalid`
 */
export async function resolveSecret(ref: SecretRef, env: NodeJS.ProcessEnv = process.env): Promise<string> {
  const secret = (await read(ref, env)).replace(/\r?\n$/, '');
  if (secret === '') throw unresolved(describeSecret(ref), 'is empty');
  return secret;
}

/** The reference in words, such as `the variable DATABASE_URL`; arguments of a command are left out. */
export function describeSecret(ref: SecretRef): string {
  if (ref.kind === 'env') return `the variable ${ref.name}`;
  return ref.kind === 'file' ? `the file ${ref.path}` : `the command ${ref.argv[0]}`;
}

async function read(ref: SecretRef, env: NodeJS.ProcessEnv): Promise<string> {
  switch (ref.kind) {
    case 'env': {
      const value = env[ref.name];
      if (value === undefined) throw unresolved(describeSecret(ref), 'is not set');
      return value;
    }
    case 'file':
      return readFile(ref.path, 'utf8').catch((error: NodeJS.ErrnoException) => {
        throw unresolved(describeSecret(ref), `cannot be read (${error.code ?? 'unknown'})`);
      });
    case 'command':
      return runCommand(ref, env);
  }
}

/** What the command printed is left out of the error, its error output too. */
async function runCommand(
  ref: Extract<SecretRef, { kind: 'command' }>,
  env: NodeJS.ProcessEnv,
): Promise<string> {
  const [program, ...args] = ref.argv;
  const options = { cwd: ref.cwd, env, timeout: COMMAND_TIMEOUT_MS, maxBuffer: 64 * 1024 };
  try {
    return (await promisify(execFile)(program, args, options)).stdout;
  } catch (error) {
    throw unresolved(describeSecret(ref), failure(error));
  }
}

function failure(error: unknown): string {
  const { code, killed } = Object(error) as { code?: string | number; killed?: boolean };
  if (killed) return `gave no answer within ${COMMAND_TIMEOUT_MS / 1000} s`;
  return typeof code === 'number' ? `ended with exit code ${code}` : `cannot be run (${code ?? 'unknown'})`;
}

function unresolved(what: string, why: string): SluiceError {
  return new SluiceError('configuration_invalid', {
    what: `A secret cannot be had: ${what} ${why}.`,
    expected: 'Correct the reference in sluice.yaml, or provide what it names.',
    safe: 'Nothing was changed.',
  });
}
