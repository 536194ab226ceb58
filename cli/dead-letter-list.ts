import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { withContext } from './context.ts';
import { demandTimes, type LetterOptions, present } from './dead-letter-options.ts';
import type { Page } from './dead-letter-page.ts';
import { type Letter, type LetterGroup, readGroups, readLetters } from './dead-letter-read.ts';
import { withIuCore } from './iu-core.ts';
import type { GlobalOptions } from './options.ts';
import { printResult } from './print.ts';
import { textTable } from './text-table.ts';

type ListOptions = GlobalOptions &
  LetterOptions & { readonly limit: number; readonly after?: string; readonly letters?: boolean };

/** `sluice dead-letter list`: groups of one kind of failure, or single letters; a filter that matches nothing says so. */
export function deadLetterList(_: readonly string[], options: ListOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    demandTimes(options);
    const { route, code, fingerprint, since, until, after } = options;
    const state = options.state ?? ['open'];
    const chosen = present({ route, code, fingerprint, since, until, state });
    const request = { limit: options.limit, after };
    const listed = await withIuCore(context, 'dead-letter list', ({ client, transact }) =>
      transact('read only', async () => {
        if (options.letters === true) {
          const page = await readLetters(client, chosen, request);
          const { rows, ...rest } = page;
          return { result: { filter: chosen, ...rest, letters: rows }, say: () => lettersText(page) };
        }
        const page = await readGroups(client, chosen, request);
        const { rows, ...rest } = page;
        return { result: { filter: chosen, ...rest, groups: rows }, say: () => groupsText(page) };
      }),
    );
    printResult(context.output, listed.result, () => listed.say());
    return EXIT.done;
  });
}

function groupsText(page: Page<LetterGroup>): string {
  if (page.rows.length === 0) return nothingText(page);
  const table = textTable(
    ['route', 'code', 'fingerprint', 'letters', 'replays', 'first failure', 'last failure', 'message'],
    page.rows.map((group) => [
      group.route ?? '-',
      group.code,
      group.fingerprint,
      lettersOf(group),
      group.replays,
      seconds(group.firstFailedAt),
      seconds(group.lastFailedAt),
      group.message,
    ]),
  );
  return [table, ...endText(page)].join('\n');
}

function lettersText(page: Page<Letter>): string {
  return page.rows.length === 0 ? nothingText(page) : [lettersTable(page.rows), ...endText(page)].join('\n');
}

/** Letters, one line each. */
export function lettersTable(letters: readonly Letter[]): string {
  return textTable(
    ['id', 'route', 'state', 'code', 'fingerprint', 'attempt', 'replays', 'last failure', 'message'],
    letters.map((letter) => [
      letter.id,
      letter.route ?? '-',
      letter.state,
      letter.code,
      letter.fingerprint,
      letter.attemptNo,
      letter.replays,
      seconds(letter.lastFailedAt),
      letter.message,
    ]),
  );
}

/** Count of a group; with states where not all of it is open. */
export function lettersOf({ letters, states }: LetterGroup): string {
  if (states.open === letters) return String(letters);
  const parts = Object.entries(states).filter(([, count]) => count > 0);
  return `${letters} (${parts.map(([state, count]) => `${count} ${state}`).join(', ')})`;
}

/** To the second, in UTC. */
export function seconds(time: string): string {
  return time.replace(/\.\d+Z$/, 'Z');
}

function nothingText({ total }: Page<unknown>): string {
  return total.letters === 0 ? 'no dead letter matches' : 'no dead letter after that place';
}

function endText({ total, next }: Page<unknown>): readonly string[] {
  const said = `${total.letters} letters of ${total.groups} kinds of failure`;
  return [next === null ? said : `${said}; go on with --after ${next}`];
}
