import { ERROR_CODES, type ErrorCodeName, type ErrorText, type ExitCode } from '../contracts/error-codes.ts';
import { explainTemporalError } from './explain-temporal-error.ts';
import { colours } from './print.ts';

interface Told extends ErrorText {
  readonly code: ErrorCodeName;
  readonly problems?: readonly unknown[];
}

/**
 * The one place that turns an error into words on stderr (three sentences; with JSON output one object) and into
 * the exit code. `SLUICE_DEBUG` adds the stack.
 */
export function reportError(error: unknown, asJson: boolean): ExitCode {
  const told = tell(error);
  const { exit } = ERROR_CODES[told.code];
  if (asJson) {
    process.stderr.write(
      `${JSON.stringify({ error: { code: told.code, exit, ...textOf(told), ...problemsOf(told) } })}\n`,
    );
  } else {
    const { red, dim } = colours();
    const lines = [told.expected, told.safe].filter((line) => line !== '').map((line) => indent(line.trim()));
    process.stderr.write(
      `${red('sluice:')} ${told.what}\n${lines.join('')}${dim(`  (${told.code}, exit ${exit})`)}\n`,
    );
  }
  if (process.env.SLUICE_DEBUG && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  return exit;
}

function tell(error: unknown): Told {
  if (isSluiceError(error)) {
    return {
      ...error.text,
      code: error.code,
      ...('problems' in error ? { problems: error.problems as unknown[] } : {}),
    };
  }
  if (error instanceof Error && error.name === 'AbortError') {
    return {
      code: 'interrupted',
      what: 'Interrupted.',
      expected: '',
      safe: 'What was begun was ended cleanly.',
    };
  }
  const known = explainTemporalError(error);
  if (known !== null) return known;
  const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return {
    code: 'unexpected',
    what,
    expected: 'Nothing of the kind was expected; SLUICE_DEBUG=1 shows where it happened.',
    safe: 'A run that is open goes on; `sluice status` tells.',
  };
}

/** By its shape, since the class may have been loaded twice. */
function isSluiceError(error: unknown): error is Error & { code: ErrorCodeName; text: ErrorText } {
  return (
    error instanceof Error &&
    'text' in error &&
    'code' in error &&
    Object.hasOwn(ERROR_CODES, String(error.code))
  );
}

function textOf({ what, expected, safe }: Told): ErrorText {
  return { what, expected: expected.trim(), safe };
}

function problemsOf({ problems }: Told): { problems?: readonly unknown[] } {
  return problems === undefined ? {} : { problems };
}

function indent(text: string): string {
  return `${text.replaceAll(/^/gm, '  ')}\n`;
}
