import { isMap, isNode, isPair, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import type { z } from 'zod';
import type { ErrorCodeName } from '../contracts/error-codes.ts';
import { explainIssue } from './explain-issue.ts';
import { byPlace, type Problem } from './located-error.ts';
import { positionOfUnit, type SourcePosition } from './source-position.ts';

/** A YAML text that was checked against a schema; where it has problems, `value` is null. */
export interface YamlReading<T> {
  readonly value: T | null;
  /** The content before the schema saw it; undefined where the YAML itself is broken. */
  readonly raw: unknown;
  readonly problems: readonly Problem[];
  /** Place of the value (or of its key) at a path; where the path ends early, of the last part that exists. */
  locate(path: readonly PropertyKey[], atKey?: boolean): SourcePosition;
}

/**
 * Reads one YAML document and collects every problem with its place. No problem repeats the text of a line,
 * since a line may hold a misplaced secret.
 */
export function readYaml<T>(
  file: string,
  text: string,
  schema: z.ZodType<T>,
  code: ErrorCodeName,
): YamlReading<T> {
  const document = parseDocument(text, { lineCounter: new LineCounter(), prettyErrors: false });
  const locate = (path: readonly PropertyKey[], atKey = false): SourcePosition =>
    positionOfUnit(text, offsetOf(document.contents, path, atKey));
  const broken = document.errors.map((error): Problem => {
    const what = `The YAML is not well formed: ${error.message.replace(/[.:]?$/, '.')}`;
    return {
      code,
      file,
      ...positionOfUnit(text, error.pos[0]),
      what,
      expected: 'Mend the YAML at this place.',
    };
  });
  if (broken.length > 0) return { value: null, raw: undefined, problems: broken, locate };

  const raw: unknown = document.toJS();
  const parsed = schema.safeParse(raw ?? {}, { reportInput: true });
  if (parsed.success) return { value: parsed.data, raw, problems: [], locate };
  const problems = parsed.error.issues.flatMap(explainIssue).map((explained): Problem => {
    const { what, expected } = explained;
    return { code: explained.code ?? code, file, ...locate(explained.path, explained.atKey), what, expected };
  });
  return { value: null, raw, problems: problems.sort(byPlace), locate };
}

function offsetOf(contents: Node | null, path: readonly PropertyKey[], atKey: boolean): number {
  let node: Node | null = contents;
  let offset = startOf(contents, 0);
  for (const [index, segment] of path.entries()) {
    const entry: { key: Node | null; value: Node | null } | null = childOf(node, segment);
    if (entry === null) return offset;
    const last = index === path.length - 1;
    const keyOffset = startOf(entry.key, offset);
    offset = last && atKey ? keyOffset : startOf(entry.value, keyOffset);
    node = entry.value;
  }
  return offset;
}

function childOf(node: Node | null, segment: PropertyKey): { key: Node | null; value: Node | null } | null {
  if (isMap(node)) {
    const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(segment));
    if (!isPair(pair)) return null;
    return { key: isNode(pair.key) ? pair.key : null, value: isNode(pair.value) ? pair.value : null };
  }
  if (isSeq(node) && typeof segment === 'number') {
    const item = node.items[segment];
    return isNode(item) ? { key: null, value: item } : null;
  }
  return null;
}

function startOf(node: Node | null, otherwise: number): number {
  return node?.range?.[0] ?? otherwise;
}
