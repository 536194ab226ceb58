/** JSON texts of about 150 bytes for the events `from` to `from + count - 1`, alike for every contestant. */
export function payloads(from: number, count: number): string[] {
  return Array.from({ length: count }, (_, at) => {
    const number = String(from + at).padStart(8, '0');
    return JSON.stringify({
      unit: `guide/chapter-${number}`,
      version: 2,
      previous: 1,
      title: 'How an event gets from its table to its target',
      author: 'bench',
      language: 'en',
      bytes: 20480,
    });
  });
}

/** Cuts `events` into slices of at most `size`, as their texts. */
export function* payloadBatches(events: number, size: number): Generator<string[]> {
  for (let from = 0; from < events; from += size) yield payloads(from, Math.min(size, events - from));
}
