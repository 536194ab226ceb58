import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { repeatLostTransaction } from '../target/repeat-lost-transaction.ts';
import { confirm } from './ask.ts';
import { withContext } from './context.ts';
import { replayControlOf } from './dead-letter-control.ts';
import { demandTimes, type LetterOptions, present, uuids } from './dead-letter-options.ts';
import { readIds } from './dead-letter-read.ts';
import { withIuCore } from './iu-core.ts';
import type { Handler } from './lazily.ts';
import type { ChangeOptions } from './options.ts';
import { note, printResult } from './print.ts';
import { usage } from './usage.ts';

type Verb = 'park' | 'discard' | 'unpark';
type ChangeLetterOptions = ChangeOptions & LetterOptions;

interface Change {
  readonly to: 'parked' | 'discarded' | 'open';
  /** States that letters are chosen from where a filter chooses them. */
  readonly from: readonly string[];
  readonly done: string;
}

const CHANGES: Readonly<Record<Verb, Change>> = {
  park: { to: 'parked', from: ['open'], done: 'parked' },
  discard: { to: 'discarded', from: ['open', 'parked'], done: 'discarded' },
  unpark: { to: 'open', from: ['parked'], done: 'open again' },
};

export const deadLetterPark = changes('park');
export const deadLetterDiscard = changes('discard');
export const deadLetterUnpark = changes('unpark');

/**
 * `sluice dead-letter park|discard|unpark [ID...]`: the letters that are named, or those that a filter finds now. All of
 * them change in one transaction, or none.
 */
function changes(verb: Verb): Handler<ChangeLetterOptions> {
  return (args, options) =>
    withContext(options, async (context): Promise<ExitCode> => {
      const { to, from, done } = CHANGES[verb];
      const { route, code, fingerprint, since, until } = options;
      const filter = present({ route, code, fingerprint, since, until });
      const hasFilter = Object.keys(filter).length > 0;
      if (args.length > 0 === hasFilter)
        throw usage(
          hasFilter ? 'Ids and a filter are given.' : 'No letter is named.',
          'Name ids, or choose letters with --fingerprint, --route, --code, --since or --until.',
        );
      demandTimes(options);
      const named = uuids(args);
      const control = await replayControlOf(options, context.env);
      const isDry = options.dryRun === true;
      const target = context.targetName();
      const changed = await withIuCore(context, `dead-letter ${verb}`, async ({ client, transact }) => {
        const ids = hasFilter
          ? await transact('read only', () => readIds(client, { ...filter, state: from }))
          : named;
        const letters = `${ids.length} dead ${ids.length === 1 ? 'letter' : 'letters'}`;
        if (ids.length === 0 || isDry) return { ids, changed: 0 };
        if (hasFilter || verb === 'discard') {
          const final = verb === 'discard' ? ' A discarded letter stays so.' : '';
          await confirm(`${verb} ${letters} on ${target}?${final}`, options);
        }
        const answered = await repeatLostTransaction({ doing: `dead-letter ${verb}` }, () =>
          transact('read write', () =>
            client.query<{ answer: { readonly changed: number } }>(
              'select fn_iu_dead_letter_change($1, $2, $3, $4) as answer',
              [ids, to, control.actor, control.reason],
            ),
          ),
        );
        return { ids, changed: answered.rows[0]?.answer.changed ?? 0 };
      });
      if (isDry) note(`dry run: nothing was ${done}`);
      const result = {
        verb,
        dryRun: isDry,
        matched: changed.ids.length,
        changed: changed.changed,
        ids: named.length > 0 ? changed.ids : undefined,
        ...control,
      };
      printResult(context.output, result, () => {
        if (result.matched === 0) return 'no dead letter matches';
        return isDry
          ? `${result.matched} would be ${done}`
          : `${result.changed} of ${result.matched} ${done}`;
      });
      return EXIT.done;
    });
}
