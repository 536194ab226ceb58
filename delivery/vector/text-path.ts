/** Steps into a payload: names of fields and places in lists. */
export type TextPath = readonly (string | number)[];

/** `name`, `.name`, `[3]` or `["any name"]`, where the one before ended. */
const STEP = /(?:^|\.)([\p{L}_$][\p{L}\p{N}_$-]*)|\[(\d{1,9})\]|\["((?:[^"\\]|\\.)*)"\]/uy;

/** Reads `text`, `a.b`, `parts[0].text`, `$["odd name"]` and the like; null where it is malformed. */
export function readTextPath(text: string): TextPath | null {
  const steps: (string | number)[] = [];
  STEP.lastIndex = text.startsWith('$') && /^\$(?:$|[.[])/.test(text) ? 1 : 0;
  while (STEP.lastIndex < text.length) {
    const [found, name, place, quoted] = STEP.exec(text) ?? [];
    if (found === undefined) return null;
    const step = name ?? (place === undefined ? unquoted(quoted ?? '') : Number(place));
    if (step === null) return null;
    steps.push(step);
  }
  return steps.length === 0 && text !== '$' ? null : steps;
}

/** What is at the end of a path; undefined where the path leads nowhere. Only fields of the payload's own count. */
export function followTextPath(payload: unknown, path: TextPath): unknown {
  let found = payload;
  for (const step of path) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, step)) return undefined;
    found = Reflect.get(found, step);
  }
  return found;
}

/** The path as people write it. */
export function sayTextPath(path: TextPath): string {
  const [first, ...rest] = path;
  if (first === undefined) return '$';
  const start =
    typeof first === 'string' && /^[\p{L}_][\p{L}\p{N}_-]*$/u.test(first) ? first : `$${step(first)}`;
  return start + rest.map(step).join('');
}

function step(name: string | number): string {
  if (typeof name === 'number') return `[${name}]`;
  return /^[\p{L}_][\p{L}\p{N}_-]*$/u.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`;
}

function unquoted(text: string): string | null {
  try {
    return String(JSON.parse(`"${text}"`));
  } catch {
    return null;
  }
}
