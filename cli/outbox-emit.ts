import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { actorOf } from './actor.ts';
import { withContext } from './context.ts';
import { withIuCore } from './iu-core.ts';
import type { ChangeOptions } from './options.ts';
import { note, printResult } from './print.ts';
import { usage } from './usage.ts';

type EmitOptions = ChangeOptions & {
  readonly domain: string;
  readonly type: string;
  readonly subject?: string;
  readonly subjectRef?: string;
  readonly payload: string;
  readonly payloadFile?: string;
};

/** `sluice outbox emit --domain D --type T [--payload JSON]`, through the governed emitter; `--dry-run` writes nothing. */
export function outboxEmit(_: readonly string[], options: EmitOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const payload = checkedJson(
      options.payloadFile === undefined ? options.payload : await readGiven(options.payloadFile),
    );
    const actor = actorOf(options, context.env);
    const { domain, type, subject = null, subjectRef = null } = options;
    const eventId =
      options.dryRun === true
        ? null
        : await withIuCore(context, 'emit an event', ({ client, transact }) =>
            transact('read write', async () => {
              const written = await client.query<{ id: string }>(
                'select fn_iu_emit_event($1, $2, $3, $4, $5, $6) as id',
                [domain, type, subject, subjectRef, payload, actor],
              );
              return written.rows[0]?.id ?? null;
            }),
          );
    if (options.dryRun === true) note('dry run: nothing was written');
    printResult(
      context.output,
      { eventId, domain, type, subject, actor },
      () => eventId ?? `${domain}.${type}`,
    );
    return EXIT.done;
  });
}

async function readGiven(file: string): Promise<string> {
  const bytes =
    file === '-'
      ? await buffer(process.stdin)
      : await readFile(file).catch((error: NodeJS.ErrnoException) => {
          throw usage(
            `The file ${file} cannot be read (${error.code ?? 'unknown'}).`,
            'Expected a file with one JSON object.',
          );
        });
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw usage('The payload is not UTF-8.', 'Expected one JSON object in UTF-8; nothing of it is replaced.');
  }
}

/** Escapes that PostgreSQL keeps no text for: NUL, and half of a surrogate pair. */
const NUL = /(?<!\\)(?:\\\\)*\\u0000/;
const LONE_SURROGATE =
  /(?<!\\)(?:\\\\)*(?:\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F])/;

/** The text as it was given: a number in it is never read as a JavaScript number and written again. */
function checkedJson(given: string): string {
  if (!isJsonObject(given)) {
    throw usage(
      'The payload is not a JSON object.',
      'Expected one JSON object, such as --payload \'{"unit_code": "docs/a"}\'.',
    );
  }
  const refused = NUL.test(given)
    ? 'NUL (\\u0000)'
    : LONE_SURROGATE.test(given)
      ? 'half a surrogate pair'
      : null;
  if (refused !== null)
    throw usage(
      `The payload holds ${refused}.`,
      'Expected text that PostgreSQL can keep; leave it out or encode it.',
    );
  return given;
}

function isJsonObject(given: string): boolean {
  try {
    const value: unknown = JSON.parse(given);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}
