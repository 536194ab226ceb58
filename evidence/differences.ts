/** A place where a document does not say what its chain says. */
export interface Difference {
  readonly path: string;
  readonly what: string;
}

/** Places where `told` is not `proven`, both being JSON values; members that are undefined do not count. */
export function differences(path: string, proven: unknown, told: unknown): Difference[] {
  if (Array.isArray(proven) && Array.isArray(told)) {
    const count =
      proven.length === told.length
        ? []
        : [{ path, what: `${path} has ${told.length} entries; the chain proves ${proven.length}.` }];
    const shared = Math.min(proven.length, told.length);
    return [
      ...count,
      ...proven
        .slice(0, shared)
        .flatMap((item, index) => differences(`${path}[${index}]`, item, told[index])),
    ];
  }
  if (isRecord(proven) && isRecord(told)) {
    const keys = new Set([...Object.keys(proven), ...Object.keys(told)]);
    return [...keys].flatMap((key) => differences(`${path}.${key}`, proven[key], told[key]));
  }
  if (Object.is(proven, told)) return [];
  return [{ path, what: `${path} says ${show(told)}; the chain proves ${show(proven)}.` }];
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}
