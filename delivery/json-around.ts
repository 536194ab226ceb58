/**
 * An object as JSON in UTF-8, with one more member whose value is JSON text already. The text is taken as it is: parsing
 * it would round numbers beyond 2^53. `fields` has at least one member.
 */
export function jsonAround(fields: Readonly<Record<string, unknown>>, name: string, json: string): Buffer {
  const start = JSON.stringify(fields).slice(0, -1);
  return Buffer.from(`${start},${JSON.stringify(name)}:${json}}`, 'utf8');
}
