import { usage } from './usage.ts';

export interface Page<T> {
  readonly rows: readonly T[];
  /** What all pages have together. */
  readonly total: { readonly letters: number; readonly groups: number };
  /** Where the next page begins; null after the last. */
  readonly next: string | null;
}

export interface PageRequest {
  readonly limit: number;
  /** A token of {@link Page.next}. */
  readonly after?: string | undefined;
}

/** A page's end as one word that no shell splits. */
export function tokenOf(...parts: readonly string[]): string {
  return Buffer.from(JSON.stringify(parts)).toString('base64url');
}

/** The place that a token names in one of the two lists. @throws SluiceError `usage` where it names none */
export function placeOf(token: string, list: 'groups' | 'letters'): readonly string[] {
  const [of, ...place] = parse(token);
  const isPlace =
    of === list &&
    (list === 'letters'
      ? /^[0-9a-f-]{36}$/.test(place[0] ?? '')
      : /^\d{4}-\d\d-\d\d [\d:.+-]+$/.test(place[0] ?? '') && /^[0-9a-f]+$/.test(place[1] ?? ''));
  if (!isPlace)
    throw usage(
      '--after is no place in this list.',
      'What the page before ended with, with the same filters: `next` in its JSON.',
    );
  return place;
}

function parse(token: string): readonly string[] {
  try {
    const parts: unknown = JSON.parse(Buffer.from(token, 'base64url').toString());
    return Array.isArray(parts) && parts.every((part) => typeof part === 'string') ? parts : [];
  } catch {
    return [];
  }
}
