import { createInterface } from 'node:readline/promises';
import { SluiceError } from '../contracts/error-codes.ts';
import { usage } from './usage.ts';

/** Whether there is somebody to ask. */
export function canAsk(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

/**
 * Goes on only with a yes: from `--yes`, or from the person at the terminal.
 *
 * @throws SluiceError `usage` off a terminal, naming `--yes`; `interrupted` where the answer is no
 */
export async function confirm(question: string, options: { readonly yes?: boolean }): Promise<void> {
  if (options.yes === true) return;
  if (!canAsk())
    throw usage(`${question} Nobody can be asked, for this is no terminal.`, 'Pass --yes to answer yes.');
  const answer = await ask(`${question} Type yes: `);
  if (/^y(es)?$/i.test(answer.trim())) return;
  throw new SluiceError('interrupted', {
    what: 'The answer was not yes.',
    expected: '',
    safe: 'Nothing was changed.',
  });
}

/**
 * The flag's value, or the answer of the person at the terminal.
 *
 * @throws SluiceError `usage` off a terminal, naming the flag
 */
export async function valueOrAsk(value: string | undefined, flag: string, question: string): Promise<string> {
  if (value !== undefined && value.trim() !== '') return value;
  const given = value === undefined && canAsk() ? await ask(`${question} `) : '';
  if (given.trim() === '') throw usage(`${flag} is missing or empty.`, `Pass ${flag} TEXT: ${question}`);
  return given.trim();
}

async function ask(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await terminal.question(question);
  } finally {
    terminal.close();
  }
}
