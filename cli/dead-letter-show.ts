import type pg from 'pg';
import { EXIT, type ExitCode, SluiceError } from '../contracts/error-codes.ts';
import { withContext } from './context.ts';
import { FINGERPRINT, UUID } from './dead-letter-options.ts';
import { type Letter, type LetterGroup, readGroups, readLetters } from './dead-letter-read.ts';
import { readLetter, type ShownLetter } from './dead-letter-read-one.ts';
import { groupText, letterText } from './dead-letter-show-text.ts';
import { withIuCore } from './iu-core.ts';
import type { GlobalOptions } from './options.ts';
import { printResult } from './print.ts';
import { usage } from './usage.ts';

/** A kind of failure with some of its letters. */
export interface ShownGroup extends LetterGroup {
  /** Newest first; {@link SHOWN} of them. */
  readonly newest: readonly Letter[];
}

/** Letters of a group that are shown. */
const SHOWN = 10;

/** `sluice dead-letter show ID|FINGERPRINT` */
export function deadLetterShow(
  [reference = '']: readonly string[],
  options: GlobalOptions,
): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const named = reference.toLowerCase();
    if (!UUID.test(named) && !FINGERPRINT.test(named))
      throw usage(
        `${reference} is neither an id nor a fingerprint.`,
        'A uuid or 16 hex digits, as `sluice dead-letter list` shows them.',
      );
    const target = context.targetName();
    if (UUID.test(named)) {
      const letter = await withIuCore(context, 'dead-letter show', ({ client, transact }) =>
        transact('read only', () => readLetter(client, named)),
      );
      if (letter === null) throw letterNotFound(`There is no dead letter ${named} on target ${target}.`);
      printResult(context.output, letter satisfies ShownLetter, () => letterText(letter));
    } else {
      const group = await withIuCore(context, 'dead-letter show', ({ client, transact }) =>
        transact('read only', () => readGroup(client, named)),
      );
      if (group === null)
        throw letterNotFound(`No dead letter on target ${target} has the fingerprint ${named}.`);
      printResult(context.output, group, () => groupText(group));
    }
    return EXIT.done;
  });
}

async function readGroup(client: pg.Client, fingerprint: string): Promise<ShownGroup | null> {
  const chosen = { fingerprint: [fingerprint] };
  const [group] = (await readGroups(client, chosen, { limit: 1 })).rows;
  if (group === undefined) return null;
  const newest = await readLetters(client, chosen, { limit: SHOWN });
  return { ...group, newest: newest.rows };
}

function letterNotFound(what: string): SluiceError {
  return new SluiceError('dead_letter_not_found', {
    what,
    expected: '`sluice dead-letter list --state open --state resolved` shows what there is.',
    safe: 'Nothing was changed.',
  });
}
