const MONTHS = 'Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec';

/** The three forms of a date in HTTP (RFC 9110, 5.6.7); all are in UTC, though the last does not say so. */
const HTTP_DATES = [
  new RegExp(`^[A-Z][a-z]{2}, \\d{2} (${MONTHS}) \\d{4} \\d{2}:\\d{2}:\\d{2} GMT$`),
  new RegExp(`^[A-Z][a-z]{5,8}, \\d{2}-(${MONTHS})-\\d{2} \\d{2}:\\d{2}:\\d{2} GMT$`),
  new RegExp(`^[A-Z][a-z]{2} (${MONTHS}) [ \\d]\\d \\d{2}:\\d{2}:\\d{2} \\d{4}$`),
];

/**
 * How long a target asked to be left alone, in milliseconds from `now`: 0 for a moment that is past, at most
 * `ceilingMs`; null for a header that is missing or is neither a whole number of seconds nor a date of HTTP.
 */
export function retryAfterMs(header: string | undefined, now: number, ceilingMs: number): number | null {
  const text = header?.trim() ?? '';
  const asked = /^\d+$/.test(text) ? Number(text) * 1_000 : (moment(text) ?? Number.NaN) - now;
  return Number.isNaN(asked) ? null : Math.min(Math.max(0, asked), ceilingMs);
}

function moment(text: string): number | null {
  if (text.length > 40 || !HTTP_DATES.some((form) => form.test(text))) return null;
  return Date.parse(text.endsWith('GMT') ? text : `${text} GMT`);
}
