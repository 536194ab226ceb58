const LENGTH = 200;
/** Bytes that are compared with what was sent; more than the excerpt is made of, for what lies across its end. */
const COMPARED_BYTES = 4_096;
const WINDOW = 12;
const STEP = 4;

/**
 * The first characters of a failed answer, at most 200, for the audit row: no control or format characters, and
 * nothing at all where the answer is not plain text or repeats what was sent (`secrets`, or any 15 characters of
 * `sent`), so that an endpoint that echoes brings neither secret nor payload into the record.
 */
export function answerExcerpt(
  answer: { readonly headers: Readonly<Record<string, string>>; readonly body: Buffer },
  sent: Buffer,
  secrets: readonly string[],
): string | null {
  const { 'content-encoding': encoding = 'identity' } = answer.headers;
  if (encoding !== 'identity' || answer.body.length === 0) return null;
  const compared = answer.body.subarray(0, COMPARED_BYTES).toString('utf8');
  if ([...secrets, sent.toString('utf8')].some((text) => shares(compared, text))) return null;
  const start = answer.body.subarray(0, 4 * LENGTH).toString('utf8');
  const plain = start.replace(/[\p{C}\p{Z}]+/gu, ' ').trim();
  return plain === '' ? null : Array.from(plain).slice(0, LENGTH).join('');
}

/** Whether the two have a run of `WINDOW + STEP - 1` characters in common, or all of a `sent` that is shorter. */
function shares(answer: string, sent: string): boolean {
  if (sent.length < WINDOW + STEP) return sent !== '' && answer.includes(sent);
  for (let at = 0; at + WINDOW <= answer.length; at += STEP) {
    if (sent.includes(answer.slice(at, at + WINDOW))) return true;
  }
  return false;
}
