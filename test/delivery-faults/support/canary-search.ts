/** A planted secret. */
export interface Canary {
  readonly name: string;
  /** What no text may hold: the secret, without what everybody knows of it, such as `whsec_`. */
  readonly core: string;
}

/** Characters of the start or end of a secret that count as the secret: an excerpt may cut it. */
const PART = 12;

/**
 * Which secrets a text holds, in which spelling: plain or a part of it, base64 and base64url wherever in a longer text it
 * begins, hex, percent-encoded, and each of these once more inside of base64 that the text itself holds.
 */
export function canariesIn(text: string, canaries: readonly Canary[]): string[] {
  const searched = [text, ...unpacked(text)];
  return canaries.flatMap(({ name, core }) =>
    spellings(core)
      .filter(({ spelt }) => searched.some((one) => one.includes(spelt)))
      .map(({ as }) => `${name}, ${as}`),
  );
}

/** How a secret may be written. */
export function spellings(core: string): readonly { readonly as: string; readonly spelt: string }[] {
  const bytes = Buffer.from(core, 'utf8');
  const hex = bytes.toString('hex');
  return [
    { as: 'its start', spelt: core.slice(0, PART) },
    { as: 'its end', spelt: core.slice(-PART) },
    ...[0, 1, 2].flatMap((before) => [
      { as: `base64 after ${before} bytes`, spelt: base64Of(bytes, before, 'base64') },
      { as: `base64url after ${before} bytes`, spelt: base64Of(bytes, before, 'base64url') },
    ]),
    { as: 'hex', spelt: hex },
    { as: 'upper hex', spelt: hex.toUpperCase() },
    { as: 'percent-encoded', spelt: hex.toUpperCase().replace(/../g, '%$&') },
    { as: 'URL-encoded', spelt: encodeURIComponent(core) },
  ];
}

/** Without the characters that what is around it has a share in. */
function base64Of(bytes: Buffer, before: number, encoding: 'base64' | 'base64url'): string {
  const all = Buffer.concat([Buffer.alloc(before), bytes])
    .toString(encoding)
    .replace(/=+$/, '');
  return all.slice(Math.ceil((before * 8) / 6), -1);
}

/** What long runs of base64 in a text hold, such as the payloads of a history. */
function unpacked(text: string): string[] {
  return (text.match(/[A-Za-z0-9+/]{40,}={0,2}/g) ?? []).map((run) =>
    Buffer.from(run, 'base64').toString('latin1'),
  );
}
