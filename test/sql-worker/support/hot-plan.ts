import type pg from 'pg';

/**
 * Plans of the statements inside one call, as the server chose and ran them, without costs; the partitions of days
 * are told as one. The call is rolled back.
 *
 * @throws Error if no statement inside contains the text
 */
export async function plansInside(client: pg.Client, call: string, containing: string): Promise<string[]> {
  const plans: string[] = [];
  const note = ({ message = '' }: { message?: string | undefined }) => {
    const [text = '', plan] = message.split(/^(?=(?:[A-Z][A-Za-z ]+)(?: using .*)?(?: on .*)?\s+\(cost=)/m);
    if (plan !== undefined && text.includes(containing)) plans.push(plain(message.slice(text.length)));
  };
  client.on('notice', note);
  try {
    await client.query(
      `load 'auto_explain';
       begin;
       set local auto_explain.log_min_duration = 0;
       set local auto_explain.log_nested_statements = on;
       set local auto_explain.log_level = notice;
       set local client_min_messages = notice`,
    );
    await client.query(call);
  } finally {
    await client.query('rollback');
    client.off('notice', note);
  }
  if (plans.length === 0) throw new Error(`no statement inside ${call} contains ${containing}`);
  return plans;
}

/** Without costs, days and the planner's numbering, and each run of equal nodes (the partitions) as one. */
function plain(plan: string): string {
  const lines = plan
    .replaceAll(/\s+\(cost=[^)]*\)/g, '')
    .replaceAll(/(event_outbox|iu_route_attempt)_to_\d{8}_\d{2}/g, '$1_of_a_day')
    .replaceAll(/\b(event_outbox|iu_route_attempt|iu_route_held|claimed|route|in_place)_\d+\b/g, '$1')
    .replaceAll(/\b((?:Init|Sub)Plan) \d+/g, '$1')
    .trimEnd()
    .split('\n');
  const told: string[] = [];
  for (let at = 0; at < lines.length; ) {
    const size = [1, 2, 3].find((length) => isRepeated(lines, at, length)) ?? 1;
    let times = 1;
    while (isRepeated(lines, at + (times - 1) * size, size)) times += 1;
    const [first = '', ...rest] = lines.slice(at, at + size);
    told.push(times > 1 ? `${first}  (${times} times)` : first, ...rest);
    at += times * size;
  }
  return `${told.join('\n')}\n`;
}

function isRepeated(lines: readonly string[], at: number, size: number): boolean {
  const part = lines.slice(at, at + size);
  return (
    part.length === size &&
    /^ *-> /.test(part[0] ?? '') &&
    part.every((line, place) => line === lines[at + size + place])
  );
}
