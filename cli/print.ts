import pc from 'picocolors';
import type { OutputFormat } from './options.ts';

/**
 * Prints the result of a command to stdout: the text for people, or the value as JSON, indented (`json`) or one
 * line for it or for each of its elements (`jsonl`).
 */
export function printResult(format: OutputFormat, value: unknown, text: () => string): void {
  if (format === 'text') write(text());
  else if (format === 'json') write(JSON.stringify(value, null, 2));
  else for (const line of Array.isArray(value) ? value : [value]) write(JSON.stringify(line));
}

/** One line to stderr: everything that is not the result. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Colours for stderr; none off a terminal or under NO_COLOR. */
export function colours(): ReturnType<typeof pc.createColors> {
  return pc.createColors(
    process.stderr.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb',
  );
}

function write(text: string): void {
  if (text !== '') process.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
}
