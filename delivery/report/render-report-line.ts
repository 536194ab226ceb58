import { layOutJson } from './lay-out-json.ts';
import { payloadJsonOf, readEntry } from './report-entry.ts';

/** How the Markdown of a report begins. */
export function reportHead(name: string): string {
  return [
    `# Report ${asText(name)}`,
    '',
    `Made from ${asText(`${name}.jsonl`)}, which is the record. Delete this file, and the next entry brings it back whole.`,
    '',
  ].join('\n');
}

/**
 * The section of a line of the record, made of nothing else; empty for a line that is no entry. Nothing in an event makes
 * a heading, a link or HTML.
 */
export function renderReportLine(line: string): string {
  const entry = readEntry(line);
  if (entry === null) return '';
  const { event } = entry;
  const subject = event.subject === null ? '' : ` of ${asText(event.subject)}`;
  return [
    '',
    `## ${asText(event.type)}${subject}, ${asText(event.created_at)}`,
    '',
    `- domain ${asText(event.domain)}${event.subject_seq === null ? '' : `, number ${asText(String(event.subject_seq))} of its subject`}`,
    `- event ${asText(entry.event_ref)}`,
    `- route ${asText(entry.route_code)}, idempotency key ${asText(entry.idempotency_key)}`,
    `- written ${asText(entry.written_at)}`,
    '',
    '```json',
    asJson(payloadJsonOf(line, entry)),
    '```',
    '',
  ].join('\n');
}

/** Line breaks, controls, and what turns the direction of a text or cannot be seen. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** A text as one line that Markdown shows as it is: any ASCII punctuation may be escaped, and then means nothing. */
function asText(text: string): string {
  const flat = text.replace(UNSEEN, '\u{fffd}').replace(/\s+/g, ' ').trim();
  return flat === '' ? '(empty)' : flat.replace(/[!-+./:-@[-`{-~]/g, '\\$&');
}

/**
 * JSON for a fenced block. None of its lines begins with a backtick, so none ends the block; what cannot be seen is
 * written as `\uXXXX`, which in JSON is the same.
 */
function asJson(json: string): string {
  return layOutJson(json).replace(UNSEEN, (sign) =>
    sign === '\n' ? sign : sign.replace(/[\s\S]/g, escaped),
  );
}

function escaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
