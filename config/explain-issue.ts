import type { z } from 'zod';
import { ERROR_CODES, type ErrorCodeName } from '../contracts/error-codes.ts';
import { nearestWord } from './nearest-word.ts';

/** A zod issue in words: `path` names the value (or, with `atKey`, the key) that it is about. */
export interface Explanation {
  readonly path: readonly PropertyKey[];
  readonly atKey: boolean;
  readonly code: ErrorCodeName | null;
  readonly what: string;
  readonly expected: string;
}

/**
 * Sentences for one zod issue. Values are repeated only where the schema lists what is allowed, so that no
 * misplaced secret is printed. A custom issue brings its own: `message` is what is true, `params.expected`
 * what was expected, `params.code` the error code when it is not the reader's own.
 */
export function explainIssue(issue: z.core.$ZodIssue): readonly Explanation[] {
  const { path } = issue;
  const name = path.length === 0 ? 'the document' : `\`${path.map(String).join('.')}\``;
  const one = (what: string, expected: string, more: Partial<Explanation> = {}): Explanation[] => [
    { path, atKey: false, code: null, what, expected, ...more },
  ];
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({
        path: [...path, key],
        atKey: true,
        code: null,
        what: `Unknown key \`${key}\`.`,
        expected: `${suggestion(key, issue.message.split(', '))}Known keys here: ${issue.message}.`,
      }));
    case 'invalid_type':
      return issue.input === undefined
        ? one(`${name} is missing.`, `Give it a value of type ${typeName(issue.expected)}.`)
        : one(`${name} has the wrong type.`, `Expected ${typeName(issue.expected)}.`);
    case 'invalid_value':
      return explainValue(issue, name, one);
    case 'invalid_union':
      return issue.discriminator === undefined
        ? one(`${name} is not understood.`, sentence(issue.message))
        : explainKind(issue, one);
    case 'custom':
      return one(sentence(issue.message), text(issue.params?.expected), {
        code: errorCode(issue.params?.code),
      });
    default:
      return one(`${name} is not valid.`, sentence(issue.message));
  }
}

type One = (what: string, expected: string) => Explanation[];

function explainValue(issue: z.core.$ZodIssueInvalidValue, name: string, one: One): Explanation[] {
  const allowed = issue.values.map(String);
  if (issue.input === undefined) return one(`${name} is missing.`, `Give it one of: ${allowed.join(', ')}.`);
  return one(
    `${name} is ${quoted(issue.input)}, which is not allowed.`,
    `${suggestion(String(issue.input), allowed)}Expected ${allowed.length === 1 ? '' : 'one of: '}${allowed.join(', ')}.`,
  );
}

function explainKind(issue: z.core.$ZodIssueInvalidUnion, one: One): Explanation[] {
  const allowed = 'options' in issue && Array.isArray(issue.options) ? issue.options.map(String) : [];
  const key = issue.discriminator ?? '';
  const value =
    typeof issue.input === 'object' && issue.input !== null ? Reflect.get(issue.input, key) : undefined;
  const list = `Known kinds: ${allowed.join(', ')}.`;
  return value === undefined
    ? one(`\`${key}\` is missing.`, list)
    : one(`Unknown ${key} ${quoted(value)}.`, `${suggestion(String(value), allowed)}${list}`);
}

function suggestion(typed: string, words: readonly string[]): string {
  const nearest = nearestWord(typed, words);
  return nearest === null ? '' : `Did you mean \`${nearest}\`? `;
}

function quoted(value: unknown): string {
  const shown = typeof value === 'object' ? 'a collection' : `\`${String(value)}\``;
  return shown.length > 60 ? `${shown.slice(0, 57)}…\`` : shown;
}

function typeName(expected: string): string {
  return (
    { array: 'list', record: 'mapping', object: 'mapping', string: 'text', int: 'whole number' }[expected] ??
    expected
  );
}

function sentence(message: string): string {
  return /[.!?]$/.test(message) ? message : `${message}.`;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function errorCode(value: unknown): ErrorCodeName | null {
  return typeof value === 'string' && isErrorCode(value) ? value : null;
}

function isErrorCode(value: string): value is ErrorCodeName {
  return Object.hasOwn(ERROR_CODES, value);
}
