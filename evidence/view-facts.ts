import { sayBytes, sayCount, sayDuration, sayTime } from './say-quantity.ts';

/** Facts of a receipt, ready to print: whatever is there, nothing demanded. */
export interface FactsView {
  readonly lines: readonly { readonly label: string; readonly value: string }[];
  readonly tables: readonly FactTable[];
}

export interface FactTable {
  readonly caption: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** Turns a receipt's facts into labelled lines and tables; units follow from the names of the keys. */
export function viewFacts(facts: Readonly<Record<string, unknown>>): FactsView {
  const lines: { label: string; value: string }[] = [];
  const tables: FactTable[] = [];
  const repeated = (value: unknown) =>
    isRecord(value) &&
    Object.entries(value).every(([key, inner]) => JSON.stringify(facts[key]) === JSON.stringify(inner));
  for (const [key, value] of Object.entries(facts)) {
    if (value === null || value === undefined || repeated(value)) continue;
    if (Array.isArray(value) && value.length > 0 && value.every(isRecord)) tables.push(toTable(key, value));
    else if (isRecord(value)) {
      for (const [inner, content] of Object.entries(value)) {
        lines.push({ label: `${sayKey(key)}, ${sayKey(inner)}`, value: sayValue(inner, content) });
      }
    } else lines.push({ label: sayKey(key), value: sayValue(key, value) });
  }
  return { lines, tables };
}

function toTable(key: string, records: readonly Readonly<Record<string, unknown>>[]): FactTable {
  const columns = [...new Set(records.flatMap((record) => Object.keys(record)))];
  return {
    caption: sayKey(key),
    columns: columns.map(sayKey),
    rows: records.map((record) => columns.map((column) => sayValue(column, record[column]))),
  };
}

/** `tocEntries` as `TOC entries`; the unit of a key is told with its value. */
export function sayKey(key: string): string {
  const words = key
    .replace(/Ms$/, '')
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replaceAll('_', ' ')
    .toLowerCase()
    .replace(/\btoc\b/, 'TOC')
    .replace(/\bsql\b/, 'SQL');
  return words === 'sha256' ? words : words.charAt(0).toUpperCase() + words.slice(1);
}

function sayValue(key: string, value: unknown): string {
  if (value === null || value === undefined) return '–';
  if (typeof value === 'number') {
    if (/Ms$/.test(key)) return sayDuration(value);
    if (/bytes$/i.test(key)) return sayBytes(value);
    return sayCount(value);
  }
  if (typeof value === 'string')
    return /At$/.test(key) && !Number.isNaN(Date.parse(value)) ? sayTime(value) : value;
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (Array.isArray(value))
    return value.length === 0 ? 'none' : value.map((item) => sayItem(item)).join('; ');
  return JSON.stringify(value);
}

function sayItem(item: unknown): string {
  if (!isRecord(item)) return typeof item === 'string' ? item : JSON.stringify(item);
  return Object.values(item)
    .map((part) => (typeof part === 'string' ? part : JSON.stringify(part)))
    .join(' ');
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
